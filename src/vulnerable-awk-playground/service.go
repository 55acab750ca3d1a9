package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// shutdownGrace is how long running scripts may go on after SIGTERM. `docker stop` kills after ten seconds.
	shutdownGrace = 5 * time.Second
	// queueWait is how long a request waits for a free slot before it is told that the service is busy.
	queueWait = 2 * time.Second
	// slowClient bounds reading a request and writing an answer, beside the script's own time.
	slowClient = 30 * time.Second
)

// service holds what the handlers share.
type service struct {
	settings settings
	log      *slog.Logger
	children *children
	slots    chan struct{}
	awk      awkProbe
}

func newService(settings settings, log *slog.Logger) *service {
	return &service{
		settings: settings,
		log:      log,
		children: newChildren(),
		slots:    make(chan struct{}, settings.concurrency),
	}
}

// serve answers requests until stop is done, then lets running scripts end, and kills those that do not.
func (s *service) serve(stop context.Context, listener net.Listener) error {
	defer s.children.adoptOrphans()()
	runs, killRuns := context.WithCancel(context.Background())
	defer killRuns()
	server := &http.Server{
		Handler:           s.logged(http.HandlerFunc(s.route)),
		BaseContext:       func(net.Listener) context.Context { return runs },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       slowClient,
		WriteTimeout:      2*slowClient + queueWait + s.settings.timeout,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	s.announce(listener)
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	s.log.Info("stopping", "grace_seconds", shutdownGrace.Seconds())
	err := shutdown(server, shutdownGrace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("scripts still run: killing them")
		killRuns()
		err = shutdown(server, time.Second)
	}
	s.log.Info("stopped")
	return err
}

func shutdown(server *http.Server, grace time.Duration) error {
	limit, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return server.Shutdown(limit)
}

func (s *service) announce(listener net.Listener) {
	version, revision := buildIdentity()
	s.log.Info("listening", "address", listener.Addr().String(), "version", version, "revision", revision)
	if path, err := s.awk.locate(s.settings.awk); err != nil {
		s.log.Warn("no awk on PATH: every script will fail", "awk", s.settings.awk)
	} else {
		s.log.Info("awk found", "path", path)
	}
}

// acquire takes one of the slots for running scripts; false means that none got free in time.
func (s *service) acquire(ctx context.Context) bool {
	wait := time.NewTimer(queueWait)
	defer wait.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}

func (s *service) release() { <-s.slots }

// logged writes one line per request.
func (s *service) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		started := time.Now()
		recorder := &recorder{ResponseWriter: writer}
		next.ServeHTTP(recorder, request)
		s.log.Info("request",
			"method", request.Method,
			"path", request.URL.Path,
			"status", recorder.status,
			"bytes", recorder.bytes,
			"duration_ms", time.Since(started).Milliseconds(),
			"remote", request.RemoteAddr)
	})
}

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(data []byte) (int, error) {
	count, err := r.ResponseWriter.Write(data)
	r.bytes += count
	return count, err
}
