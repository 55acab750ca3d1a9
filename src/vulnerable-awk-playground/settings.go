package main

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"strconv"
	"time"
)

// settings are the service's limits. Sizes are bytes.
type settings struct {
	listen          string
	awk             string
	timeout         time.Duration
	maxRequestBytes int64
	maxOutputBytes  int64
	concurrency     int64
}

// settingsFrom reads the environment; what is unset or empty keeps its default.
func settingsFrom(getenv func(string) string) (settings, error) {
	chosen := settings{
		listen:          ":8080",
		awk:             "awk",
		timeout:         5 * time.Second,
		maxRequestBytes: 8 << 20,
		maxOutputBytes:  1 << 20,
		concurrency:     8,
	}
	if value := getenv("LISTEN_ADDR"); value != "" {
		_, port, err := net.SplitHostPort(value)
		// A port by its number alone, which the Java twin reads alike.
		if _, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || len(port) > 5 {
			return chosen, fmt.Errorf("LISTEN_ADDR: %q is not HOST:PORT or :PORT", value)
		}
		chosen.listen = value
	}
	if value := getenv("AWK_BINARY"); value != "" {
		chosen.awk = value
	}
	if value := getenv("AWK_TIMEOUT"); value != "" {
		timeout, err := parseDuration(value)
		if err != nil {
			return chosen, fmt.Errorf("AWK_TIMEOUT: %w", err)
		}
		chosen.timeout = timeout
	}
	numbers := []struct {
		name   string
		target *int64
		most   int64
	}{
		{"AWK_MAX_REQUEST_BYTES", &chosen.maxRequestBytes, 1 << 30},
		{"AWK_MAX_OUTPUT_BYTES", &chosen.maxOutputBytes, 1 << 30},
		{"AWK_CONCURRENCY", &chosen.concurrency, 1024},
	}
	for _, number := range numbers {
		if value := getenv(number.name); value != "" {
			parsed, err := strconv.ParseInt(value, 10, 64)
			if err != nil || parsed < 1 || parsed > number.most {
				return chosen, fmt.Errorf("%s: %q is not a whole number from 1 to %d", number.name, value, number.most)
			}
			*number.target = parsed
		}
	}
	return chosen, nil
}

var durationForm = regexp.MustCompile(`^([0-9]{1,9})(ms|s|m)$`)

// parseDuration takes less than time.ParseDuration does: one whole number and one unit, which the Java twin reads alike.
func parseDuration(value string) (time.Duration, error) {
	parts := durationForm.FindStringSubmatch(value)
	if parts == nil {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 5s or 1m", value)
	}
	count, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return 0, err
	}
	unit := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute}[parts[2]]
	if count == 0 || count > math.MaxInt64/int64(unit) || time.Duration(count)*unit > time.Hour {
		return 0, fmt.Errorf("%q is not between 1ms and 60m", value)
	}
	return time.Duration(count) * unit, nil
}
