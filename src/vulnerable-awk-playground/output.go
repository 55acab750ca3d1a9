package main

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// capped keeps the first bytes of a stream and lets the rest pass, so that a talkative script is not blocked.
type capped struct {
	mutex sync.Mutex
	data  []byte
	limit int64
	cut   bool
}

func newCapped(limit int64) *capped { return &capped{limit: limit} }

func (c *capped) Write(data []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	room := c.limit - int64(len(c.data))
	if int64(len(data)) > room {
		c.cut = true
		c.data = append(c.data, data[:room]...)
	} else {
		c.data = append(c.data, data...)
	}
	return len(data), nil
}

func (c *capped) truncated() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.cut
}

// text is what was kept, as valid UTF-8: U+FFFD stands for each byte that is not, and a character cut in two is dropped.
func (c *capped) text() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	data := c.data
	if c.cut {
		data = data[:len(data)-splitTail(data)]
	}
	if utf8.Valid(data) {
		return string(data)
	}
	var clean strings.Builder
	for _, char := range string(data) {
		clean.WriteRune(char)
	}
	return clean.String()
}

// splitTail is how many bytes at the end are the beginning of a character whose rest is missing.
func splitTail(data []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(data); back++ {
		tail := data[len(data)-back:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return back
		}
	}
	return 0
}
