package main

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const ( // io_uring_enter(2); the numbers are the same on every processor
	opConnect, opOpenAt, opRead, opWrite, opSocket = 16, 18, 22, 23, 45

	ringEntries, entryBytes = 4, 64
)

var atCurrent = ^uintptr(99) // AT_FDCWD, -100

// ring is an io_uring: calls that are made without calling them, so that no filter of calls sees them.
type ring struct {
	number           uintptr
	sent, got, works []byte
	parameters       []byte
}

func newRing() (*ring, error) {
	parameters := make([]byte, 120)
	number, err := call(sysIoUringSetup, ringEntries, given(parameters))
	if err != nil {
		return nil, fmt.Errorf("io_uring_setup: %w", err)
	}
	made := &ring{number: number, parameters: parameters}
	for _, part := range []struct {
		to     *[]byte
		offset int64
		size   uint32
	}{
		{&made.sent, 0, made.of(40+24) + ringEntries*4}, // sq_off.array
		{&made.got, 0x8000000, made.of(80+20) + 2*ringEntries*16},
		{&made.works, 0x10000000, ringEntries * entryBytes},
	} {
		if *part.to, err = syscall.Mmap(int(number), part.offset, int(part.size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err != nil {
			return nil, fmt.Errorf("mmap of the ring: %w", err)
		}
	}
	return made, nil
}

// of is a number in what io_uring_setup gave back.
func (r *ring) of(place int) uint32 { return binary.NativeEndian.Uint32(r.parameters[place:]) }

func word(part []byte, place uint32) *uint32 { return (*uint32)(unsafe.Pointer(&part[place])) }

// do has the kernel do one thing, and waits for it: the fields of io_uring_sqe(2).
func (r *ring) do(operation byte, file, address uintptr, length uint32, offset uint64, flags uint32) (uintptr, error) {
	work := make([]byte, entryBytes)
	work[0] = operation
	binary.NativeEndian.PutUint32(work[4:], uint32(file))
	binary.NativeEndian.PutUint64(work[8:], offset)
	binary.NativeEndian.PutUint64(work[16:], uint64(address))
	binary.NativeEndian.PutUint32(work[24:], length)
	binary.NativeEndian.PutUint32(work[28:], flags)
	tail := word(r.sent, r.of(40+4))
	slot := atomic.LoadUint32(tail) & (ringEntries - 1)
	copy(r.works[slot*entryBytes:], work)
	*word(r.sent, r.of(40+24)+4*slot) = slot
	atomic.AddUint32(tail, 1)
	if _, err := call(sysIoUringEnter, r.number, 1, 1, 1, 0, 0); err != nil { // IORING_ENTER_GETEVENTS
		return 0, fmt.Errorf("io_uring_enter: %w", err)
	}
	head := word(r.got, r.of(80))
	answer := r.of(80+20) + (atomic.LoadUint32(head)&(2*ringEntries-1))*16
	result := int32(*word(r.got, answer+8))
	atomic.AddUint32(head, 1)
	if result < 0 {
		return 0, syscall.Errno(-result)
	}
	return uintptr(result), nil
}
