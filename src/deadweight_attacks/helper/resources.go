package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

const (
	held      = 1200 * time.Millisecond // what is taken is held so long: the engine's counters lag
	pieceSize = 1 << 20
)

// processes: until no more can be started.
func processes([]string) error {
	var err error
	count := 0
	for ; count < 20000 && err == nil; count++ {
		command := itself("wait", "9")
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err = command.Start()
	}
	time.Sleep(held)
	return fmt.Errorf("after %d: %w", count, err)
}

// threads: the same with threads of one process, slow enough to be counted before the runtime ends for want of one.
func threads([]string) error {
	debug.SetMaxThreads(20000)
	for count := 0; count < 20000; count++ {
		go func() {
			runtime.LockOSThread()
			select {}
		}()
		time.Sleep(time.Millisecond)
	}
	return nil
}

// memory MIB: this process is the one that the kernel is to end.
func memory(take func(piece []byte) error) deed {
	return func(words []string) error {
		os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
		count, err := strconv.Atoi(words[0])
		for taken := 0; taken < count && err == nil; taken++ {
			piece := make([]byte, pieceSize)
			for index := 0; index < len(piece); index += 4096 {
				piece[index] = 1
			}
			err = take(piece)
		}
		time.Sleep(held)
		return err
	}
}

var (
	pieces [][]byte
	files  []*os.File // a file that nobody holds is closed
)

func anonymous(piece []byte) error { pieces = append(pieces, piece); return nil }

// inFiles takes it as files in memory, each of one piece: below any limit on a file's size.
func inFiles(piece []byte) error {
	number, err := call(sysMemfdCreate, text("taken"), 0)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	files = append(files, os.NewFile(number, "taken"))
	_, err = files[len(files)-1].Write(piece)
	return err
}

// loopsApart COUNT: a process each.
func loopsApart(words []string) error {
	count, err := strconv.Atoi(words[0])
	for ; count > 0 && err == nil; count-- {
		command := itself("loops/threads", "1")
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err = command.Start()
	}
	time.Sleep(10 * time.Second)
	return err
}

// loops COUNT
func loops(words []string) error {
	count, err := strconv.Atoi(words[0])
	for ; count > 0; count-- {
		go func() {
			for {
			}
		}()
	}
	time.Sleep(10 * time.Second)
	return err
}

// disk NAME BYTES A B FOLDER…: taken in files of 15 MiB, and given back.
func disk(take func(file *os.File, at int) error) deed {
	return func(words []string) error {
		wanted, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		taken := 0
		for _, folder := range words[4:] {
			for number := 0; taken < wanted && number < 64; number++ {
				name := filepath.Join(folder, words[0]+strconv.Itoa(number))
				took := fill(name, take, wanted-taken)
				defer os.Remove(name)
				taken += took
				if took == 0 {
					break
				}
			}
		}
		if taken < wanted {
			return fmt.Errorf("%d of %d bytes could be taken", taken, wanted)
		}
		return hello(words[2:])
	}
}

func fill(name string, take func(file *os.File, at int) error, most int) int {
	file, err := os.Create(name)
	if err != nil {
		return 0
	}
	defer file.Close()
	took := 0
	for took < min(most, 15*pieceSize) && take(file, took) == nil {
		took += pieceSize
	}
	return took
}

func written(file *os.File, at int) error {
	_, err := file.Write(somePiece)
	return err
}

// allocated takes the room without writing anything.
func allocated(file *os.File, at int) error {
	return syscall.Fallocate(int(file.Fd()), 0, int64(at), pieceSize)
}

var somePiece = bytes.Repeat([]byte("deadweight"), pieceSize/10+1)[:pieceSize]
