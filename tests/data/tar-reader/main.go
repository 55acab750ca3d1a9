// Reads tars, each with its length in front (32 bits, big endian), and prints one line of JSON for each: its members, or null
// where it is damaged.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
)

type member struct {
	Name, Link []byte
	Kind       string
	Size, Mode int64
	UID        int
}

func members(data []byte) []member {
	found, reader := []member{}, tar.NewReader(bytes.NewReader(data))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			return nil
		}
		if header.Typeflag != tar.TypeXGlobalHeader {
			found = append(found, member{[]byte(header.Name), []byte(header.Linkname), string(rune(header.Typeflag)), header.Size,
				header.Mode & 07777, header.Uid})
		}
	}
}

func main() {
	input, output := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var size uint32
		if binary.Read(input, binary.BigEndian, &size) != nil {
			return
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(input, data); err != nil {
			panic(err)
		}
		output.Encode(members(data))
	}
}
