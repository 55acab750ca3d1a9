package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func decompressed(reader io.Reader, name string) (io.Reader, error) {
	switch filepath.Ext(name) {
	case ".gz":
		return gzip.NewReader(reader)
	case ".xz":
		return xz.NewReader(reader)
	case ".zst":
		return zstd.NewReader(reader)
	}
	return reader, nil
}

// install fetches the package, checks its digest, and unpacks its files below root.
func (one *deb) install(root string) error {
	raw, err := fetch(one.URL)
	if err != nil {
		return err
	}
	if got := sha256.Sum256(raw); hex.EncodeToString(got[:]) != one.SHA256 {
		return errors.New("has another digest than its list says")
	}
	data, name, err := member(raw, "data.tar")
	if err != nil {
		return err
	}
	reader, err := decompressed(bytes.NewReader(data), name)
	if err != nil {
		return err
	}
	if err := unpack(tar.NewReader(reader), root); err != nil {
		return err
	}
	folder := filepath.Join(root, statusFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, one.Name), []byte(strings.TrimSpace(one.Control)+"\n"), 0o644)
}

// member finds a part of an ar archive by the start of its name. Source: ar(5).
func member(raw []byte, start string) ([]byte, string, error) {
	if !bytes.HasPrefix(raw, []byte("!<arch>\n")) {
		return nil, "", errors.New("is not a package")
	}
	for at := 8; at+60 <= len(raw); {
		name := strings.TrimRight(string(raw[at:at+16]), " /")
		size, err := strconv.Atoi(strings.TrimSpace(string(raw[at+48 : at+58])))
		if err != nil || size < 0 || at+60+size > len(raw) {
			return nil, "", errors.New("is a damaged package")
		}
		if strings.HasPrefix(name, start) {
			return raw[at+60 : at+60+size], name, nil
		}
		at += 60 + size + size%2
	}
	return nil, "", fmt.Errorf("has no %s", start)
}

func unpack(files *tar.Reader, root string) error {
	for {
		header, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		place := filepath.Join(root, filepath.Clean("/"+header.Name))
		if documentation(place, root) {
			continue
		}
		if err := write(files, header, place, root); err != nil {
			return err
		}
	}
}

func documentation(place, root string) bool {
	for _, folder := range []string{"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"} {
		if strings.HasPrefix(place, filepath.Join(root, folder)+"/") {
			return true
		}
	}
	return false
}

func write(files *tar.Reader, header *tar.Header, place, root string) error {
	mode := header.FileInfo().Mode()
	if header.Typeflag == tar.TypeDir {
		return os.MkdirAll(place, mode.Perm()|0o700)
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	if found, err := os.Lstat(place); err == nil {
		if found.IsDir() { // a folder here, a link there: leave ours
			return nil
		}
		if err := os.Remove(place); err != nil {
			return err
		}
	}
	switch header.Typeflag {
	case tar.TypeSymlink:
		return os.Symlink(header.Linkname, place)
	case tar.TypeLink:
		return os.Link(filepath.Join(root, filepath.Clean("/"+header.Linkname)), place)
	case tar.TypeReg:
		file, err := os.OpenFile(place, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Perm())
		if err != nil {
			return err
		}
		if _, err := io.Copy(file, files); err != nil {
			file.Close()
			return err
		}
		return file.Close()
	}
	return nil
}
