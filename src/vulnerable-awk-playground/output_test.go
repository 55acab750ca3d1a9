package main

import "testing"

func TestCappedOutput(t *testing.T) {
	for _, test := range []struct {
		name, written, wanted string
		limit                 int64
		truncated             bool
	}{
		{"fits", "abc", "abc", 3, false},
		{"cut", "abcd", "abc", 3, true},
		{"cut inside a character", "aéé", "aé", 4, true},
		{"cut between characters", "aéé", "aé", 3, true},
		{"cut inside four bytes", "a😀", "a", 4, true},
		{"not UTF-8", "a\xff\xfeb", "a\ufffd\ufffdb", 9, false},
		{"one mark for each byte", "\xe2\x82", "\ufffd\ufffd", 9, false},
		{"surrogate", "\xed\xa0\x80", "\ufffd\ufffd\ufffd", 9, false},
		{"stray continuation at the cut", "a\x80\x80\x80\x80x", "a\ufffd\ufffd\ufffd\ufffd", 5, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			output := newCapped(test.limit)
			for index := range []byte(test.written) {
				count, err := output.Write([]byte{test.written[index]})
				if count != 1 || err != nil {
					t.Fatal("a capped stream takes everything")
				}
			}
			if got := output.text(); got != test.wanted || output.truncated() != test.truncated {
				t.Errorf("got %q, truncated %v", got, output.truncated())
			}
		})
	}
}
