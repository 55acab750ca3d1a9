package main

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

func TestVersionsAreComparedAsDpkgDoes(t *testing.T) {
	pairs := [][2]string{{"1.0", "1.1"}, {"1.0~rc1", "1.0"}, {"1:0.1", "2.0"}, {"1.0-1", "1.0-1+deb12u1"}, {"1.09", "1.9"}, {"1.0a", "1.0+"}, {"2", "2"}}
	for _, pair := range pairs {
		want := exec.Command("dpkg", "--compare-versions", pair[0], "gt", pair[1]).Run() == nil
		if got := newer(pair[0], pair[1]); got != want {
			t.Errorf("newer(%q, %q) = %v", pair[0], pair[1], got)
		}
	}
}

func TestWordsOfACall(t *testing.T) {
	for _, words := range [][]string{{"add", "--no-cache", "--virtual", ".x", "git=1.2-r0", ".build"}, {"--no-cache", "add", "git>2"}} {
		verb, names := taken(words)
		if verb != "add" || !reflect.DeepEqual(names, []string{"git"}) {
			t.Errorf("%v: %v %v", words, verb, names)
		}
	}
}

func TestWhatIsNeededComesFirst(t *testing.T) {
	found := &index{byName: map[string]*deb{}, providers: map[string][]*deb{}}
	for _, stanza := range []string{
		"Package: a\nVersion: 1\nFilename: a.deb\nDepends: b | c, d (>= 1), there",
		"Package: c\nVersion: 1\nFilename: c.deb",
		"Package: e\nVersion: 1\nFilename: e.deb\nProvides: d\nDepends: a",
	} {
		found.add(parse(stanza, "http://x"))
	}
	plan, err := found.resolve([]string{"a"}, []string{"there"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range plan {
		names = append(names, one.Name)
	}
	if !reflect.DeepEqual(names, []string{"c", "e", "a"}) {
		t.Errorf("%v", names)
	}
	if _, err := found.resolve([]string{"nothing"}, nil); err == nil {
		t.Error("a package that nobody has was found")
	}
}

func TestALinkIsReplacedAndNotWrittenThrough(t *testing.T) {
	root := t.TempDir()
	busybox := filepath.Join(root, "busybox")
	if err := os.WriteFile(busybox, []byte("busybox"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("busybox", filepath.Join(root, "curl")); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	files := tar.NewWriter(&raw)
	for _, name := range []string{"./curl", "../../outside", "./usr/share/doc/x"} {
		files.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: 4, Typeflag: tar.TypeReg})
		files.Write([]byte("real"))
	}
	files.Close()
	if err := unpack(tar.NewReader(&raw), root); err != nil {
		t.Fatal(err)
	}
	if kept, _ := os.ReadFile(busybox); string(kept) != "busybox" {
		t.Error("the link's target was written")
	}
	if _, err := os.Stat(filepath.Join(root, "outside")); err != nil {
		t.Error("a name that leaves the root was not kept inside")
	}
	if _, err := os.Stat(filepath.Join(root, "usr/share/doc/x")); err == nil {
		t.Error("documentation was unpacked")
	}
}
