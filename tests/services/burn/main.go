// Works for a while without waiting for anything, as a compiler would, and leaves what came of it.
//
// Usage: burn ROUNDS FILE
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"strconv"
)

func main() {
	runtime.GOMAXPROCS(1)
	rounds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	sum, block := [32]byte{}, make([]byte, 1<<20)
	for range make([]struct{}, rounds) {
		copy(block, sum[:])
		sum = sha256.Sum256(block)
	}
	if err := os.WriteFile(os.Args[2], []byte(fmt.Sprintf("%x\n", sum)), 0o644); err != nil {
		panic(err)
	}
}
