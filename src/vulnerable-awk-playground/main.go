// Command vulnerable-awk-playground runs AWK scripts that its callers provide.
//
// It is vulnerable on purpose: whoever can reach it can run programs as its user. Everything around that hole (limits,
// errors, process handling, shutdown) is done with care, so that what an attack shows is the image and its walls, not
// a sloppy service. Never run it outside a container or on anything but a loopback address.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
)

const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(command(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// command is main without the globals; it returns the exit code.
func command(arguments []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(serviceName, flag.ContinueOnError)
	flags.SetOutput(stderr)
	check := flags.Bool("healthcheck", false, "ask the service on LISTEN_ADDR whether it is healthy, and exit 0 or 1")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(arguments); err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "%s: unexpected argument: %s\n", serviceName, flags.Arg(0))
		return exitUsage
	}
	settings, err := settingsFrom(getenv)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", serviceName, err)
		return exitUsage
	}
	switch {
	case *version:
		name, revision := buildIdentity()
		fmt.Fprintf(stdout, "%s %s (revision %s)\n", serviceName, name, revision)
		return exitOK
	case *check:
		return report(healthcheck(settings.listen), stderr)
	}
	return report(listenAndServe(settings, stdout), stderr)
}

func report(err error, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", serviceName, err)
		return exitFailure
	}
	return exitOK
}

// listenAndServe runs the service until SIGTERM or SIGINT.
func listenAndServe(settings settings, stdout io.Writer) error {
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	log := slog.New(slog.NewJSONHandler(stdout, nil))
	listener, err := net.Listen("tcp", settings.listen)
	if err != nil {
		return err
	}
	return newService(settings, log).serve(stop, listener)
}
