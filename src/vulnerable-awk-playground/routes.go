package main

import (
	"net/http"
	"strings"
)

// route matches whole paths. http.ServeMux would redirect unclean ones, and its method patterns need Go 1.22.
func (s *service) route(writer http.ResponseWriter, request *http.Request) {
	var handle func(*http.Request) (answer, *failure)
	allowed := []string{http.MethodGet, http.MethodHead}
	switch request.URL.Path {
	case "/healthz":
		handle = s.health
	case "/version":
		handle = s.version
	case "/api/v1/awk":
		handle, allowed = s.awkJSON, []string{http.MethodPost}
	case "/test":
		handle, allowed = s.awkForm, []string{http.MethodPost}
	default:
		fail(writer, newFailure(http.StatusNotFound, "not_found", "there is nothing at this path"))
		return
	}
	for _, method := range allowed {
		if request.Method == method {
			given, failed := handle(request)
			if failed != nil {
				fail(writer, failed)
				return
			}
			reply(writer, http.StatusOK, given)
			return
		}
	}
	methods := strings.Join(allowed, ", ")
	writer.Header().Set("Allow", methods)
	fail(writer, newFailure(http.StatusMethodNotAllowed, "method_not_allowed", "this path takes "+methods))
}

// health is fine only if there is an awk: without one the service cannot do its work.
func (s *service) health(*http.Request) (answer, *failure) {
	if _, err := s.awk.locate(s.settings.awk); err != nil {
		return nil, errNoAwk()
	}
	return struct {
		Status string `json:"status"`
	}{"ok"}, nil
}

type runAnswer struct {
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	ExitCode   int    `json:"exit_code"`
	DurationMS int64  `json:"duration_ms"`
	Truncated  bool   `json:"truncated,omitempty"`
}

func (s *service) awkJSON(request *http.Request) (answer, *failure) {
	body, failed := readBody(request, "application/json", s.settings.maxRequestBytes)
	if failed != nil {
		return nil, failed
	}
	job, failed := parseJSON(body)
	if failed != nil {
		return nil, failed
	}
	done, failed := s.execute(request.Context(), job)
	if failed != nil {
		return nil, failed
	}
	return runAnswer{
		Stdout:     done.stdout,
		Stderr:     done.stderr,
		ExitCode:   done.exitCode,
		DurationMS: done.duration.Milliseconds(),
		Truncated:  done.truncated,
	}, nil
}

type formAnswer struct {
	Stdout    string `json:"stdout"`
	Stderr    string `json:"stderr"`
	Truncated bool   `json:"truncated,omitempty"`
}

func (s *service) awkForm(request *http.Request) (answer, *failure) {
	body, failed := readBody(request, "application/x-www-form-urlencoded", s.settings.maxRequestBytes)
	if failed != nil {
		return nil, failed
	}
	job, failed := parseForm(body)
	if failed != nil {
		return nil, failed
	}
	done, failed := s.execute(request.Context(), job)
	if failed != nil {
		return nil, failed
	}
	return formAnswer{Stdout: done.stdout, Stderr: done.stderr, Truncated: done.truncated}, nil
}
