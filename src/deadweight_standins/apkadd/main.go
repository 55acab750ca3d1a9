// Command apk stands in for Alpine's package manager in the stand-in for Alpine: the same words, with packages of the OS that the
// stand-in was made of. A package's files are unpacked over the root; its maintainer scripts are not run. Lists are trusted by
// their signature (InRelease), packages by their digest in them.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// The file that comes beside this program: where packages come from, and what Alpine's names mean there.
const settingsFile = "/usr/lib/stand-in/stand-in.json"

// Where the packages that were added are written down, as distroless images do it.
const statusFolder = "/var/lib/dpkg/status.d"

type settings struct {
	Arch    string              `json:"arch"`
	Sources []source            `json:"sources"`
	Names   map[string][]string `json:"names"` // Alpine's name to the OS's; an empty list is there already
	There   []string            `json:"there"` // packages of the OS that the stand-in does without
}

type source struct {
	URI        string   `json:"uri"`
	Suites     []string `json:"suites"`
	Components []string `json:"components"`
	Keyring    string   `json:"keyring"`
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "ERROR: %v\n", err)
		os.Exit(1)
	}
}

func run(words []string, out io.Writer) error {
	verb, names := taken(words)
	switch verb {
	case "add":
		return add(names, out)
	case "info":
		return list(out)
	case "", "--version", "version":
		fmt.Fprintln(out, "apk-tools stand-in (packages of the OS that this stand-in was made of)")
		return nil
	case "update", "upgrade", "del", "fix", "cache":
		fmt.Fprintf(out, "apk %s: nothing to do in a stand-in\n", verb)
		return nil
	}
	return fmt.Errorf("apk %s: the stand-in for Alpine has add, info, and update, upgrade and del as words without effect", verb)
}

// taken splits the words of a call into the verb and the package names; versions (name=1.2-r0, name>1) are not followed.
func taken(words []string) (verb string, names []string) {
	withValue := map[string]bool{"-t": true, "--virtual": true, "-X": true, "--repository": true, "-p": true, "--root": true, "--arch": true, "--keys-dir": true, "--repositories-file": true}
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case withValue[word]:
			i++
		case strings.HasPrefix(word, "-") && verb == "" && word == "--version":
			return word, nil
		case strings.HasPrefix(word, "-"):
		case verb == "":
			verb = word
		case strings.HasPrefix(word, "."): // a virtual package of ours
		default:
			names = append(names, strings.TrimLeft(word[:nameEnd(word)], "!"))
		}
	}
	return verb, names
}

func nameEnd(word string) int {
	if end := strings.IndexAny(word, "=<>~@"); end > 0 {
		return end
	}
	return len(word)
}

func load() (settings, error) {
	var found settings
	raw, err := os.ReadFile(settingsFile)
	if err != nil {
		return found, err
	}
	return found, json.Unmarshal(raw, &found)
}

func add(names []string, out io.Writer) error {
	known, err := load()
	if err != nil {
		return err
	}
	wanted, err := meant(names, known)
	if err != nil || len(wanted) == 0 {
		return err
	}
	index, err := fetchIndex(known)
	if err != nil {
		return err
	}
	plan, err := index.resolve(wanted, append(installed(), known.There...))
	if err != nil {
		return err
	}
	for number, one := range plan {
		fmt.Fprintf(out, "(%d/%d) Installing %s (%s)\n", number+1, len(plan), one.Name, one.Version)
		if err := one.install("/"); err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
	}
	return afterwards("/")
}

// meant translates Alpine's names. A name that the table lacks is looked for under the same name.
func meant(names []string, known settings) ([]string, error) {
	var wanted []string
	for _, name := range names {
		if others, ok := known.Names[name]; ok {
			wanted = append(wanted, others...)
		} else {
			wanted = append(wanted, name)
		}
	}
	return wanted, nil
}

func installed() []string {
	var names []string
	entries, _ := os.ReadDir(statusFolder)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func list(out io.Writer) error {
	names := installed()
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintln(out, name)
	}
	return nil
}

// afterwards lets the compiler make what runs in this image: programs for its own C library.
func afterwards(root string) error {
	if err := called(root); err != nil {
		return err
	}
	wrapper := filepath.Join(root, "usr/bin/musl-gcc")
	if _, err := os.Stat(wrapper); err != nil {
		return nil
	}
	if err := findable(root); err != nil {
		return err
	}
	for _, name := range []string{"gcc", "cc"} {
		place := filepath.Join(root, "usr/local/bin", name)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(place, []byte("#!/bin/sh\nexec /usr/bin/musl-gcc \"$@\"\n"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// called gives compilers the names by which make calls them, which the OS gives in a script of its packages.
func called(root string) error {
	for name, program := range map[string]string{"cc": "gcc", "c++": "g++"} {
		place := filepath.Join(root, "usr/bin", name)
		if _, err := os.Lstat(place); err == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, "usr/bin", program)); err != nil {
			continue
		}
		if err := os.Symlink(program, place); err != nil {
			return err
		}
	}
	return nil
}

// findable puts the C library where the compiler looks: the OS has one folder for both, this image has two.
func findable(root string) error {
	libraries, _ := filepath.Glob(filepath.Join(root, "lib/*-linux-musl/libc.so"))
	for _, library := range libraries {
		place := filepath.Join(root, "usr/lib", filepath.Base(filepath.Dir(library)), "libc.so")
		if _, err := os.Lstat(place); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("/lib", filepath.Base(filepath.Dir(library)), "libc.so"), place); err != nil {
			return err
		}
	}
	return nil
}
