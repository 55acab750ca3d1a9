package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// run starts a program of the image.
func run(words []string) error {
	output, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	os.Stdout.Write(output)
	return err
}

var shells = []string{"/bin/sh", "/bin/bash", "/bin/ash", "/bin/dash", "/bin/zsh", "/busybox/sh", "/usr/bin/sh", "/usr/bin/bash"}

// shell A B: has the image a shell?
func shell(words []string) error {
	for _, path := range shells {
		if output, err := exec.Command(path, "-c", "echo "+words[0]+"''"+words[1]).Output(); err == nil {
			fmt.Printf("%s: %s", path, output)
			return nil
		}
	}
	return errors.New("the image has no shell that starts")
}

// tried starts the first of these programs that is there; of a shell that is all its tools in one file, the tool.
func tried(candidates [][]string) error {
	names := []string{}
	for _, words := range candidates {
		if output, err := exec.Command(words[0], words[1:]...).Output(); err == nil && len(output) > 0 {
			fmt.Printf("%s: %s\n", words[0], output)
			return nil
		}
		names = append(names, words[0])
	}
	for _, words := range candidates {
		command := &exec.Cmd{Path: "/bin/sh", Args: words, Env: os.Environ()}
		if output, err := command.Output(); err == nil && len(output) > 0 {
			fmt.Printf("%s of the shell: %s\n", words[0], output)
			return nil
		}
	}
	return fmt.Errorf("the image has none that starts of: %s", strings.Join(names, ", "))
}

func interpreter(words []string) error {
	a, b := words[0], words[1]
	joined := "'" + a + "'+'" + b + "'"
	return tried([][]string{
		{"python3", "-c", "print(" + joined + ")"}, {"python", "-c", "print(" + joined + ")"},
		{"perl", "-e", "print '" + a + "'.'" + b + "'"}, {"node", "-e", "console.log(" + joined + ")"},
		{"ruby", "-e", "puts " + joined}, {"php", "-r", "echo '" + a + "'.'" + b + "';"},
		{"lua", "-e", "print('" + a + "'..'" + b + "')"},
		{"gawk", "BEGIN { print \"" + a + "\" \"" + b + "\" }"}, {"mawk", "BEGIN { print \"" + a + "\" \"" + b + "\" }"},
		{"awk", "BEGIN { print \"" + a + "\" \"" + b + "\" }"},
	})
}

// fetch HOST PORT: by a tool that the image brings.
func fetch(words []string) error {
	host, port := words[0], words[1]
	url := "http://" + host + ":" + port + "/"
	talk := "exec 3<>/dev/tcp/" + host + "/" + port + "; echo 'GET / HTTP/1.0' >&3; echo >&3; while read -r l <&3; do echo \"$l\"; done"
	return tried([][]string{
		{"curl", "-s", "-m", "4", url}, {"wget", "-q", "-T", "4", "-O", "-", url},
		{"python3", "-c", "import urllib.request as r; print(r.urlopen('" + url + "', timeout=4).read().decode())"},
		{"bash", "-c", talk},
		{"node", "-e", "fetch('" + url + "').then(r => r.text()).then(console.log)"},
	})
}

// memfd A B: a program that lies on no file system.
func memfd(words []string) error {
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		return err
	}
	number, err := call(sysMemfdCreate, text("a"), 0)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(number, "a")
	if _, err := file.Write(content); err != nil {
		return err
	}
	command := exec.Command(fmt.Sprintf("/proc/self/fd/%d", number), "hello", words[0], words[1])
	command.ExtraFiles = nil
	output, err := command.CombinedOutput()
	fmt.Printf("%s", output)
	return err
}

// setUID NAME A B: leave a program that is root's for whoever starts it, and have somebody else start it.
func setUID(words []string) error {
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		return err
	}
	last := errors.New("no folder to write to")
	for _, folder := range places() {
		file := folder + "/" + words[0]
		if err := os.WriteFile(file, content, 0o755); err != nil {
			continue
		}
		last = os.Chmod(file, 0o755|os.ModeSetuid)
		command := exec.Command(file, "became", words[1], words[2])
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533, NoSetGroups: true}}
		output, err := command.CombinedOutput()
		os.Remove(file)
		if err == nil {
			fmt.Printf("%s: %s", folder, output)
			return nil
		}
		last = fmt.Errorf("%s: %w: %s", folder, err, output)
	}
	return last
}

func became(words []string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("still user %d", os.Geteuid())
	}
	return hello(words)
}
