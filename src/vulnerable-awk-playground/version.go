package main

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
)

const serviceName = "vulnerable-awk-playground"

// Set by the build: -ldflags "-X main.buildVersion=1.2.3 -X main.buildRevision=abc".
var buildVersion, buildRevision string

// buildIdentity is what the build was told, else what the Go toolchain noted by itself.
func buildIdentity() (version, revision string) {
	version, revision = buildVersion, buildRevision
	info, ok := debug.ReadBuildInfo()
	if ok && version == "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	if ok && revision == "" {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = setting.Value
			}
		}
	}
	if version == "" {
		version = "dev"
	}
	if revision == "" {
		revision = "unknown"
	}
	return version, revision
}

type versionAnswer struct {
	Name     string         `json:"name"`
	Version  string         `json:"version"`
	Revision string         `json:"revision"`
	Runtime  runtimeAnswer  `json:"runtime"`
	Awk      *awkIdentities `json:"awk"`
}

type runtimeAnswer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// awkIdentities tells which awk it is: path as found, target behind symbolic links, dialect and its own version line.
type awkIdentities struct {
	Path    string `json:"path"`
	Target  string `json:"target"`
	Dialect string `json:"dialect"`
	Version string `json:"version"`
}

func (s *service) version(request *http.Request) (answer, *failure) {
	version, revision := buildIdentity()
	return versionAnswer{
		Name:     serviceName,
		Version:  version,
		Revision: revision,
		Runtime:  runtimeAnswer{Name: "go", Version: runtime.Version()},
		Awk:      s.awk.identify(request.Context(), s),
	}, nil
}

// awkProbe asks awk for its version once.
type awkProbe struct {
	mutex sync.Mutex
	known *awkIdentities
}

// locate finds awk on PATH; it looks each time, which costs microseconds and notices an awk that goes away.
func (p *awkProbe) locate(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

func (p *awkProbe) identify(ctx context.Context, s *service) *awkIdentities {
	path, err := p.locate(s.settings.awk)
	if err != nil {
		return nil
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.known != nil && p.known.Path == path {
		return p.known
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		target = path
	}
	known := &awkIdentities{Path: path, Target: target, Dialect: dialect(filepath.Base(target))}
	for _, options := range versionOptions {
		line := s.firstLine(ctx, path, options)
		if named := dialect(line); named != "unknown" {
			known.Dialect, known.Version = named, line
			p.known = known
			break
		}
	}
	return known
}

// versionOptions are tried in turn. Busybox knows neither, and names itself in the usage text that it prints instead;
// mawk up to 1.3.4-20200120 knows only the second.
var versionOptions = [][]string{{"--version"}, {"-W", "version"}}

// firstLine runs awk with options alone, and gives the first line that it writes.
func (s *service) firstLine(ctx context.Context, path string, options []string) string {
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	stdout, stderr := newCapped(4096), newCapped(4096)
	awk := exec.CommandContext(limited, path, options...)
	awk.Args[0] = s.settings.awk
	awk.Stdout, awk.Stderr = stdout, stderr
	awk.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	awk.WaitDelay = pipeDelay
	awk.Cancel = func() error { return killGroup(awk.Process.Pid) }
	if s.children.start(awk) != nil {
		return ""
	}
	s.children.wait(awk)
	for _, line := range strings.Split(stdout.text()+"\n"+stderr.text(), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// dialect finds the name of an implementation in its version line or its file name.
func dialect(text string) string {
	lower := strings.ToLower(text)
	for _, known := range []struct{ mark, name string }{
		{"gnu awk", "gawk"},
		{"gawk", "gawk"},
		{"mawk", "mawk"},
		{"busybox", "busybox"},
		{"goawk", "goawk"},
		{"awk version", "bwk"},
		{"original-awk", "bwk"},
	} {
		if strings.Contains(lower, known.mark) {
			return known.name
		}
	}
	return "unknown"
}
