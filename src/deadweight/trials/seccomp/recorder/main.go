// The recorder is bound into a container and started there as its first process. It needs no right of its own: a process may put
// a filter on itself (seccomp(2)), and read what the filter tells of.
//
// `recorder record SOCKET KNOWN PROGRAM WORD…` hands what its filter tells of to whoever listens at SOCKET, and becomes PROGRAM. It
// tells of no call in KNOWN (numbers, with commas between): of what is known to be made a thousand times.
// `recorder supervise SOCKET FILE`, outside, counts every system call of that program, and of all that it starts, in FILE.
// `recorder ask NUMBER…` prints those of the calls that the container's own filter lets pass; none of them is carried out.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

func init() {
	runtime.LockOSThread() // a filter is a thread's own; the first thread is the one that becomes the program
	debug.SetGCPercent(-1)
}

func main() {
	words := os.Args[1:]
	var err error
	switch {
	case len(words) > 3 && words[0] == "record":
		err = record(words[1], words[2], words[3:])
	case len(words) == 3 && words[0] == "supervise":
		err = supervise(words[1], words[2])
	case len(words) > 0 && words[0] == "ask":
		err = ask(words[1:])
	default:
		err = fmt.Errorf("usage: recorder record SOCKET KNOWN PROGRAM WORD… | supervise SOCKET FILE | ask NUMBER…")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(97)
	}
}
