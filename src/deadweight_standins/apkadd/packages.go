package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

const largestList = 512 << 20

var client = &http.Client{Timeout: 5 * time.Minute}

type deb struct {
	Name, Version, URL, SHA256, Control string
	depends                             [][]string // of each group, one is needed
	provides                            []string
}

type index struct {
	byName    map[string]*deb
	providers map[string][]*deb
}

func fetchIndex(known settings) (*index, error) {
	found := &index{byName: map[string]*deb{}, providers: map[string][]*deb{}}
	for _, from := range known.Sources {
		for _, suite := range from.Suites {
			if err := found.take(from, suite, known.Arch); err != nil {
				return nil, fmt.Errorf("%s %s: %w", from.URI, suite, err)
			}
		}
	}
	return found, nil
}

func (found *index) take(from source, suite, arch string) error {
	base := strings.TrimRight(from.URI, "/")
	release, err := signed(base+"/dists/"+suite+"/InRelease", from.Keyring)
	if err != nil {
		return err
	}
	for _, component := range from.Components {
		name := component + "/binary-" + arch + "/Packages"
		list, err := fetchList(base+"/dists/"+suite+"/", name, release)
		if err != nil {
			return err
		}
		for _, stanza := range strings.Split(string(list), "\n\n") {
			if one := parse(stanza, base); one != nil {
				found.add(one)
			}
		}
	}
	return nil
}

func (found *index) add(one *deb) {
	if old, ok := found.byName[one.Name]; ok && !newer(one.Version, old.Version) {
		return
	}
	found.byName[one.Name] = one
	for _, name := range one.provides {
		found.providers[name] = append(found.providers[name], one)
	}
}

// signed fetches a clear-signed release file, and gives what the keyring's owners signed: digests by name.
func signed(url, keyring string) (map[string]string, error) {
	raw, err := fetch(url)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(keyring)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	keys, err := openpgp.ReadKeyRing(file)
	if err != nil {
		return nil, err
	}
	block, _ := clearsign.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s is not signed", url)
	}
	if _, err := block.VerifySignature(keys, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return digests(string(block.Plaintext)), nil
}

func digests(release string) map[string]string {
	found := map[string]string{}
	in := false
	for _, line := range strings.Split(strings.ReplaceAll(release, "\r", ""), "\n") {
		if !strings.HasPrefix(line, " ") {
			in = strings.HasPrefix(line, "SHA256:")
			continue
		}
		if fields := strings.Fields(line); in && len(fields) == 3 {
			found[fields[2]] = fields[0]
		}
	}
	return found
}

func fetchList(folder, name string, release map[string]string) ([]byte, error) {
	for _, ending := range []string{".gz", ".xz"} {
		digest, ok := release[name+ending]
		if !ok {
			continue
		}
		raw, err := fetch(folder + name + ending)
		if err != nil {
			return nil, err
		}
		if got := sha256.Sum256(raw); hex.EncodeToString(got[:]) != digest {
			return nil, fmt.Errorf("%s has another digest than its release says", name)
		}
		reader, err := decompressed(bytes.NewReader(raw), ending)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(reader, largestList))
	}
	return nil, fmt.Errorf("no list %s", name)
}

func fetch(url string) ([]byte, error) {
	var last error
	for attempt := 0; attempt < 3; attempt++ {
		answer, err := client.Get(url)
		if err != nil {
			last = err
			continue
		}
		raw, err := io.ReadAll(io.LimitReader(answer.Body, largestList))
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK && err == nil {
			return raw, nil
		}
		last = fmt.Errorf("%s: %s", url, answer.Status)
		if err != nil {
			last = err
		}
	}
	return nil, last
}

var (
	fieldLine   = regexp.MustCompile(`(?m)^(Package|Version|Filename|SHA256|Depends|Pre-Depends|Provides): (.*)$`)
	alternative = regexp.MustCompile(`^\s*([a-z0-9][a-z0-9+.-]*)`)
)

func parse(stanza, base string) *deb {
	fields := map[string]string{}
	for _, match := range fieldLine.FindAllStringSubmatch(stanza, -1) {
		fields[match[1]] = match[2]
	}
	if fields["Package"] == "" || fields["Filename"] == "" {
		return nil
	}
	one := &deb{Name: fields["Package"], Version: fields["Version"], SHA256: fields["SHA256"], URL: base + "/" + fields["Filename"], Control: stanza}
	for _, group := range append(strings.Split(fields["Pre-Depends"], ","), strings.Split(fields["Depends"], ",")...) {
		if names := namesOf(group, "|"); len(names) > 0 {
			one.depends = append(one.depends, names)
		}
	}
	one.provides = namesOf(fields["Provides"], ",")
	return one
}

func namesOf(text, between string) []string {
	var names []string
	for _, part := range strings.Split(text, between) {
		if match := alternative.FindStringSubmatch(part); match != nil {
			names = append(names, match[1])
		}
	}
	return names
}

// resolve gives what has to be unpacked for the names, what is needed first; what is “there“ is left out.
func (found *index) resolve(names, there []string) ([]*deb, error) {
	seen := map[string]bool{}
	for _, name := range there {
		seen[name] = true
	}
	for _, name := range names { // asked for by name: also what the stand-in does without otherwise
		if _, ok := found.byName[name]; ok && !contains(installed(), name) {
			delete(seen, name)
		}
	}
	var plan []*deb
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] {
			return nil
		}
		one := found.named(name)
		if one == nil {
			return fmt.Errorf("unable to select packages: %s (no such package in the OS that this stand-in was made of)", name)
		}
		if seen[one.Name] && one.Name != name {
			return nil
		}
		seen[name], seen[one.Name] = true, true
		for _, group := range one.depends {
			if err := visit(found.best(group, seen)); err != nil {
				return err
			}
		}
		plan = append(plan, one)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

func (found *index) named(name string) *deb {
	if one, ok := found.byName[name]; ok {
		return one
	}
	if all := found.providers[name]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// best takes of alternatives what is there already, else the first that exists.
func (found *index) best(group []string, seen map[string]bool) string {
	for _, name := range group {
		if seen[name] {
			return name
		}
	}
	for _, name := range group {
		if found.named(name) != nil {
			return name
		}
	}
	return group[0]
}

func contains(names []string, name string) bool {
	for _, one := range names {
		if one == name {
			return true
		}
	}
	return false
}

// newer compares versions as Debian policy 5.6.12 does.
func newer(left, right string) bool { return compare(left, right) > 0 }

func compare(left, right string) int {
	leftEpoch, left := epoch(left)
	rightEpoch, right := epoch(right)
	if order := part(leftEpoch, rightEpoch); order != 0 {
		return order
	}
	leftUp, leftRev := revision(left)
	rightUp, rightRev := revision(right)
	if order := part(leftUp, rightUp); order != 0 {
		return order
	}
	return part(leftRev, rightRev)
}

func epoch(version string) (string, string) {
	if before, after, found := strings.Cut(version, ":"); found {
		return before, after
	}
	return "0", version
}

func revision(version string) (string, string) {
	if at := strings.LastIndex(version, "-"); at >= 0 {
		return version[:at], version[at+1:]
	}
	return version, "0"
}

func part(left, right string) int {
	for left != "" || right != "" {
		var leftText, rightText, leftNumber, rightNumber string
		leftText, left = split(left, false)
		rightText, right = split(right, false)
		if order := text(leftText, rightText); order != 0 {
			return order
		}
		leftNumber, left = split(left, true)
		rightNumber, right = split(right, true)
		leftNumber, rightNumber = strings.TrimLeft(leftNumber, "0"), strings.TrimLeft(rightNumber, "0")
		if len(leftNumber) != len(rightNumber) {
			return len(leftNumber) - len(rightNumber)
		}
		if order := strings.Compare(leftNumber, rightNumber); order != 0 {
			return order
		}
	}
	return 0
}

func split(text string, digits bool) (string, string) {
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9') == digits {
		end++
	}
	return text[:end], text[end:]
}

func text(left, right string) int {
	for i := 0; i < len(left) || i < len(right); i++ {
		if order := weight(left, i) - weight(right, i); order != 0 {
			return order
		}
	}
	return 0
}

func weight(text string, at int) int {
	switch {
	case at >= len(text):
		return 0
	case text[at] == '~':
		return -1
	case text[at] >= 'A' && text[at] <= 'Z' || text[at] >= 'a' && text[at] <= 'z':
		return int(text[at])
	}
	return int(text[at]) + 256
}
