package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const ( // landlock(7); the numbers are the same on every processor
	landlockCreate, landlockAdd, landlockRestrict = 444, 445, 446

	mayExecute, mayWriteFile, mayReadFile, mayReadDir = 1 << 0, 1 << 1, 1 << 2, 1 << 3
	mayTruncate, mayControl                           = 1 << 14, 1 << 15
	mayChangeFolders                                  = 1<<14 - 1<<4 - 1<<6 - 1<<11 // make, remove, rename, link; no devices
	mayToFiles                                        = mayExecute | mayWriteFile | mayReadFile | mayTruncate | mayControl
	mayBind, mayConnect                               = 1 << 0, 1 << 1
)

type rules struct {
	write, deny []string
	ports       []uint64
	connect     bool
}

// landlock [write=FOLDER] [deny=PATH] [port=NUMBER] [connect] -- PROGRAM WORD…: becomes the program, which may then read and run
// all but what is denied, write to those folders alone and run nothing from there, and listen on those ports alone.
func landlock(words []string) error {
	end := slices.Index(words, "--")
	if end < 0 || end == len(words)-1 {
		return errors.New("landlock: no program after --")
	}
	asked := rules{}
	for _, word := range words[:end] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "write":
			asked.write = append(asked.write, value)
		case "deny":
			if real, err := filepath.EvalSymlinks(value); err == nil {
				asked.deny = append(asked.deny, real)
			}
		case "port":
			number, _ := strconv.ParseUint(value, 10, 16)
			asked.ports = append(asked.ports, number)
		case "connect":
			asked.connect = true
		}
	}
	program, err := lookUp(words[end+1])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // it is put on a thread, and stays on what that becomes
	if err := restrict(asked); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	return syscall.Exec(program, words[end+1:], os.Environ())
}

// lookUp finds a program as a container's runtime does.
func lookUp(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		file := filepath.Join(folder, name)
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: not found on PATH", name)
}

func restrict(asked rules) error {
	version, err := call(landlockCreate, 0, 0, 1)
	if err != nil {
		return err
	}
	handled := uint64(1<<13 - 1)
	for at, bit := range map[uintptr]uint64{2: 1 << 13, 3: mayTruncate, 5: mayControl} {
		if version >= at {
			handled |= bit
		}
	}
	attributes := make([]byte, 24)
	binary.NativeEndian.PutUint64(attributes, handled)
	size := 8
	if version >= 4 {
		size = 16
		net := uint64(mayBind | mayConnect)
		if asked.connect {
			net = mayBind
		}
		binary.NativeEndian.PutUint64(attributes[8:], net)
	}
	if version >= 6 {
		size = 24
		binary.NativeEndian.PutUint64(attributes[16:], 3) // abstract sockets and signals
	}
	ruleset, err := call(landlockCreate, given(attributes), uintptr(size), 0)
	if err != nil {
		return err
	}
	set := &set{ruleset, handled}
	set.beneath("/", asked)
	for _, folder := range asked.write {
		set.allow(folder, mayReadFile|mayReadDir|mayWriteFile|mayTruncate|mayChangeFolders)
	}
	set.allow("/dev", mayReadFile|mayReadDir|mayWriteFile|mayTruncate|mayControl)
	for _, port := range asked.ports {
		if version >= 4 {
			set.port(port)
		}
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, 38, 1, 0, 0, 0, 0); errno != 0 { // PR_SET_NO_NEW_PRIVS
		return errno
	}
	_, err = call(landlockRestrict, ruleset, 0)
	return err
}

type set struct {
	number  uintptr
	handled uint64
}

// beneath lets all below a folder be read and run, but what is denied, or written to.
func (s *set) beneath(folder string, asked rules) {
	kept := append(slices.Clone(asked.deny), asked.write...)
	within := func(path string) bool { return strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/") }
	if slices.Contains(kept, folder) {
		return
	}
	if !slices.ContainsFunc(kept, within) {
		s.allow(folder, mayReadFile|mayReadDir|mayExecute)
		return
	}
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		if entry.Type()&os.ModeSymlink != 0 {
			continue // what it leads to is met on a way of its own
		}
		s.beneath(filepath.Join(folder, entry.Name()), asked)
	}
}

func (s *set) allow(path string, may uint64) {
	file, err := syscall.Open(path, 0x200000|syscall.O_CLOEXEC, 0) // O_PATH
	if err != nil {
		return
	}
	defer syscall.Close(file)
	var status syscall.Stat_t
	if syscall.Fstat(file, &status) == nil && status.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		may &= mayToFiles
	}
	rule := make([]byte, 12)
	binary.NativeEndian.PutUint64(rule, may&s.handled)
	binary.NativeEndian.PutUint32(rule[8:], uint32(file))
	call(landlockAdd, s.number, 1, given(rule), 0) // LANDLOCK_RULE_PATH_BENEATH
}

func (s *set) port(number uint64) {
	rule := make([]byte, 16)
	binary.NativeEndian.PutUint64(rule, mayBind)
	binary.NativeEndian.PutUint64(rule[8:], number)
	call(landlockAdd, s.number, 2, given(rule), 0) // LANDLOCK_RULE_NET_PORT
}
