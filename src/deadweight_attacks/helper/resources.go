package main

import (
	"fmt"
	"os"
	"path/filepath"
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

// memory MIB: this process is the one that the kernel is to end.
func memory(words []string) error {
	os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	count, err := strconv.Atoi(words[0])
	for taken := 0; taken < count; taken++ {
		piece := make([]byte, pieceSize)
		for index := 0; index < len(piece); index += 4096 {
			piece[index] = 1
		}
		pieces = append(pieces, piece)
	}
	time.Sleep(held)
	return err
}

var pieces [][]byte

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
func disk(words []string) error {
	wanted, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	piece := make([]byte, pieceSize)
	for index := range piece {
		piece[index] = byte(index)
	}
	taken := 0
	for _, folder := range words[4:] {
		for number := 0; taken < wanted && number < 64; number++ {
			name := filepath.Join(folder, words[0]+strconv.Itoa(number))
			wrote := fill(name, piece, wanted-taken)
			defer os.Remove(name)
			taken += wrote
			if wrote == 0 {
				break
			}
		}
	}
	if taken < wanted {
		return fmt.Errorf("%d of %d bytes could be written", taken, wanted)
	}
	return hello(words[2:])
}

func fill(name string, piece []byte, most int) int {
	file, err := os.Create(name)
	if err != nil {
		return 0
	}
	defer file.Close()
	wrote := 0
	for wrote < min(most, 15*pieceSize) {
		count, err := file.Write(piece)
		wrote += count
		if err != nil {
			break
		}
	}
	return wrote
}
