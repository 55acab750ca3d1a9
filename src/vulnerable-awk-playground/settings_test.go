package main

import (
	"strings"
	"testing"
	"time"
)

func TestSettingsKeepTheirDefaults(t *testing.T) {
	chosen, err := settingsFrom(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	wanted := settings{":8080", "awk", 5 * time.Second, 8 << 20, 1 << 20, 8}
	if chosen != wanted {
		t.Errorf("got %+v, want %+v", chosen, wanted)
	}
}

func TestSettingsAreRead(t *testing.T) {
	given := map[string]string{
		"LISTEN_ADDR": "[::1]:99", "AWK_BINARY": "gawk", "AWK_TIMEOUT": "250ms",
		"AWK_MAX_REQUEST_BYTES": "10", "AWK_MAX_OUTPUT_BYTES": "20", "AWK_CONCURRENCY": "3",
	}
	chosen, err := settingsFrom(func(name string) string { return given[name] })
	if err != nil {
		t.Fatal(err)
	}
	wanted := settings{"[::1]:99", "gawk", 250 * time.Millisecond, 10, 20, 3}
	if chosen != wanted {
		t.Errorf("got %+v, want %+v", chosen, wanted)
	}
}

func TestWrongSettingsNameTheVariable(t *testing.T) {
	for _, wrong := range [][2]string{
		{"LISTEN_ADDR", "8080"},
		{"LISTEN_ADDR", ":http"},
		{"LISTEN_ADDR", "localhost:"},
		{"LISTEN_ADDR", ":99999"},
		{"AWK_TIMEOUT", "5"},
		{"AWK_TIMEOUT", "0s"},
		{"AWK_TIMEOUT", "61m"},
		{"AWK_TIMEOUT", "999999999m"},
		{"AWK_TIMEOUT", "-1s"},
		{"AWK_MAX_REQUEST_BYTES", "8MB"},
		{"AWK_MAX_OUTPUT_BYTES", "0"},
		{"AWK_CONCURRENCY", "1025"},
		{"AWK_CONCURRENCY", "99999999999999999999"},
	} {
		_, err := settingsFrom(func(name string) string {
			if name == wrong[0] {
				return wrong[1]
			}
			return ""
		})
		if err == nil || !strings.HasPrefix(err.Error(), wrong[0]+": ") {
			t.Errorf("%s=%s: got %v", wrong[0], wrong[1], err)
		}
	}
}

func TestWrongUseExitsWithTwo(t *testing.T) {
	for _, wrong := range []struct{ arguments, address, text string }{
		{"-nope", "", "not defined: -nope"},
		{"stray", "", "unexpected argument: stray"},
		{"", "nonsense", "LISTEN_ADDR"},
	} {
		var stdout, stderr strings.Builder
		getenv := func(name string) string {
			if name == "LISTEN_ADDR" {
				return wrong.address
			}
			return ""
		}
		code := command(strings.Fields(wrong.arguments), getenv, &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), wrong.text) {
			t.Errorf("%+v: exit code %d, stderr %q", wrong, code, stderr.String())
		}
	}
}
