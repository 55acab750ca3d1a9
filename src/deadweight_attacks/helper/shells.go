package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A tool is a program to be started, its name first, and what must stand in a file that could be it under another name.
type tool struct {
	hint  string
	words []string
}

var shells = []string{"/bin/sh", "/bin/bash", "/bin/ash", "/bin/dash", "/bin/zsh", "/busybox/sh", "/usr/bin/sh", "/usr/bin/bash"}

const (
	multiCall   = "call binary" // what busybox and toybox say of themselves
	mostFiles   = 50000
	mostContent = 4 << 20 // of a program that is looked at; shells and multi-call programs are smaller, or tell it there
	mostAll     = 512 << 20
	mostSearch  = 5 * time.Second
	mostTry     = 1500 * time.Millisecond
)

func asShell(words []string) tool {
	return tool{"OPTIND", []string{"sh", "-c", "echo " + words[0] + "''" + words[1]}} // which every shell of the standard has
}

// shellByName A B: has the image a shell where shells are?
func shellByName(words []string) error {
	for _, path := range shells {
		if output, err := exec.Command(path, asShell(words).words[1:]...).Output(); err == nil {
			fmt.Printf("%s: %s", path, output)
			return nil
		}
	}
	return errors.New("the image has no shell that starts")
}

// shellByArgv0 A B: is any program a shell, whatever its name, if it is started as one?
func shellByArgv0(words []string) error { return byContent(holding(words[0]+words[1]), asShell(words)) }

// shellByApplet A B: the same of a program that takes the name of what it is to be as its first word.
func shellByApplet(words []string) error {
	own := asShell(words)
	return byContent(holding(words[0]+words[1]), asApplet("busybox", own), asApplet("toybox", own), asApplet("tools", own))
}

func asApplet(name string, own tool) tool {
	return tool{own.hint, append([]string{name}, own.words...)}
}

// A proof tells whether what a program printed is what was wanted of it.
type proof func(output []byte) bool

func holding(word string) proof {
	return func(output []byte) bool { return bytes.Contains(output, []byte(word)) }
}

// served: the answer that was fetched is a word of letters, alone or behind the lines of HTTP.
func served(output []byte) bool {
	word := strings.TrimSpace(string(output))
	if _, body, is := strings.Cut(word, "HTTP/1.0 200"); is {
		return strings.TrimSpace(body) != ""
	}
	return len(word) >= 8 && !strings.ContainsFunc(word, func(letter rune) bool { return letter < '0' || letter > 'z' })
}

// byName starts the first of these tools that is there.
func byName(proven proof, tools []tool) error {
	names := []string{}
	for _, each := range tools {
		for _, command := range found(each.words) {
			if output, err := command.Output(); err == nil && proven(output) {
				fmt.Printf("%s: %s\n", each.words[0], output)
				return nil
			}
		}
		names = append(names, each.words[0])
	}
	return fmt.Errorf("the image has none that starts of: %s", strings.Join(names, ", "))
}

// found are the ways to start a tool: as PATH has it, or, where files may not be asked for, as they usually are.
func found(words []string) []*exec.Cmd {
	command := exec.Command(words[0], words[1:]...)
	if command.Err == nil {
		return []*exec.Cmd{command}
	}
	guessed := []*exec.Cmd{}
	for _, folder := range folders {
		guessed = append(guessed, exec.Command(folder+"/"+words[0], words[1:]...))
	}
	return guessed
}

// byContent starts every program of the image, whatever its name, as those of the tools whose hint stands in it. It works if the
// proof comes back.
func byContent(proven proof, tools ...tool) error {
	tried := []string{}
	end, read := time.Now().Add(mostSearch), int64(0)
	for _, file := range programs(end) {
		content, err := beginning(file)
		if err != nil || !bytes.HasPrefix(content, []byte("\x7fELF")) {
			continue
		}
		if read += int64(len(content)); read > mostAll || time.Now().After(end) {
			break
		}
		for _, each := range tools {
			if !bytes.Contains(content, []byte(each.hint)) {
				continue
			}
			output := startedAs(file, each.words)
			if proven(output) {
				fmt.Printf("%s as %s: %s\n", file, each.words[0], output)
				return nil
			}
			tried = append(tried, file)
		}
	}
	return fmt.Errorf("no program of the image can be started as one (tried: %s)", strings.Join(tried, ", "))
}

func startedAs(file string, words []string) []byte {
	limit, stop := context.WithTimeout(context.Background(), mostTry)
	defer stop()
	command := exec.CommandContext(limit, file)
	command.Args = words
	command.WaitDelay = mostTry
	output, _ := command.Output()
	return output[:min(len(output), mostOutput)]
}

func beginning(file string) ([]byte, error) {
	opened, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return io.ReadAll(io.LimitReader(opened, mostContent))
}

var (
	folders = []string{"/usr/bin", "/bin", "/usr/local/bin", "/sbin", "/usr/sbin"}
	usual   = []string{"awk", "busybox", "toybox", "sh", "bash", "dash", "env", "cat"}
)

// programs are the executable files of the image, each once, those where programs usually are first. Neither this one nor what
// lies on file systems of the kernel's is one. Where files may not be listed, some names are tried.
func programs(end time.Time) []string {
	found, seen := []string{}, map[[2]uint64]bool{}
	var own syscall.Stat_t
	syscall.Stat(os.Args[0], &own)
	seen[[2]uint64{uint64(own.Dev), own.Ino}] = true
	count := 0
	for _, root := range append(folders, "/") {
		filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if count++; count > mostFiles || time.Now().After(end) {
				return fs.SkipAll
			}
			if err != nil {
				return nil
			}
			if entry.IsDir() {
				if path == "/proc" || path == "/sys" || path == "/dev" || path == "/host" {
					return fs.SkipDir
				}
				return nil
			}
			var status syscall.Stat_t
			if !entry.Type().IsRegular() || syscall.Stat(path, &status) != nil || status.Mode&0o111 == 0 {
				return nil
			}
			if key := [2]uint64{uint64(status.Dev), status.Ino}; !seen[key] {
				seen[key] = true
				found = append(found, path)
			}
			return nil
		})
	}
	for _, folder := range folders {
		for at := 0; len(seen) == 1 && at < len(usual); at++ {
			found = append(found, folder+"/"+usual[at])
		}
	}
	return found
}

func interpreters(a, b string) []tool {
	joined, awk := "'"+a+"'+'"+b+"'", "BEGIN { print \""+a+"\" \""+b+"\" }"
	return []tool{
		{"PYTHONHOME", []string{"python3", "-c", "print(" + joined + ")"}}, {"PYTHONHOME", []string{"python", "-c", "print(" + joined + ")"}},
		{"PERL5LIB", []string{"perl", "-e", "print '" + a + "'.'" + b + "'"}},
		{"NODE_OPTIONS", []string{"node", "-e", "console.log(" + joined + ")"}},
		{"RUBYOPT", []string{"ruby", "-e", "puts " + joined}}, {"PHP_INI_SCAN_DIR", []string{"php", "-r", "echo '" + a + "'.'" + b + "';"}},
		{"LUA_PATH", []string{"lua", "-e", "print('" + a + "'..'" + b + "')"}},
		{"SUBSEP", []string{"gawk", awk}}, {"SUBSEP", []string{"mawk", awk}}, {"SUBSEP", []string{"awk", awk}},
	}
}

// interpreterByName A B
func interpreterByName(words []string) error {
	return byName(holding(words[0]+words[1]), interpreters(words[0], words[1]))
}

// interpreterByArgv0 A B
func interpreterByArgv0(words []string) error {
	return byContent(holding(words[0]+words[1]), interpreters(words[0], words[1])...)
}

// fetchers of a file at HOST PORT: tools that an image brings.
func fetchers(host, port string) []tool {
	url := "http://" + host + ":" + port + "/"
	talk := "exec 3<>/dev/tcp/" + host + "/" + port + "; echo 'GET / HTTP/1.0' >&3; echo >&3; while read -r l <&3; do echo \"$l\"; done"
	ask := "BEGIN { s = \"/inet/tcp/0/" + host + "/" + port + "\"; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" |& s; while ((s |& getline l) > 0) print l }"
	perl := "use IO::Socket::INET; $s = IO::Socket::INET->new('" + host + ":" + port + "') or exit 1; print $s \"GET / HTTP/1.0\\r\\n\\r\\n\"; print <$s>"
	return []tool{
		{"CURL_HOME", []string{"curl", "-s", "-m", "4", url}}, {"wget", []string{"wget", "-q", "-T", "4", "-O", "-", url}},
		{"PYTHONHOME", []string{"python3", "-c", "import urllib.request as r; print(r.urlopen('" + url + "', timeout=4).read().decode())"}},
		{"/dev/tcp/", []string{"bash", "-c", talk}}, {"PERL5LIB", []string{"perl", "-e", perl}},
		{"NODE_OPTIONS", []string{"node", "-e", "fetch('" + url + "').then(r => r.text()).then(console.log)"}},
		{"RUBYOPT", []string{"ruby", "-rnet/http", "-e", "puts Net::HTTP.get(URI('" + url + "'))"}},
		{"PHP_INI_SCAN_DIR", []string{"php", "-r", "echo file_get_contents('" + url + "');"}},
		{"/inet/", []string{"gawk", ask}},
	}
}

// fetchByName HOST PORT
func fetchByName(words []string) error {
	return byName(served, fetchers(words[0], words[1]))
}

// fetchByArgv0 HOST PORT: by any program that is one under another name, or whose first word says which.
func fetchByArgv0(words []string) error {
	tools := fetchers(words[0], words[1])
	wget := tools[1]
	return byContent(served, append(tools, tool{multiCall, append([]string{"busybox"}, wget.words...)}, tool{multiCall, append([]string{"toybox"}, wget.words...)})...)
}
