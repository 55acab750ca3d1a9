// A generator of SBOMs for BuildKit that has Trivy do the work (moby/buildkit, docs/attestations/sbom-protocol.md): each file
// system that BuildKit names is listed, and the list becomes an in-toto statement with an SPDX document. It needs no network.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	program   = "/trivy"
	cache     = "/cache" // its databases are empty: packages alone are listed
	predicate = "https://spdx.dev/Document"
)

type statement struct {
	Type          string          `json:"_type"`
	PredicateType string          `json:"predicateType"`
	Subject       []string        `json:"subject"` // BuildKit names it
	Predicate     json.RawMessage `json:"predicate"`
}

func main() {
	if err := scan(os.Getenv("BUILDKIT_SCAN_SOURCE"), os.Getenv("BUILDKIT_SCAN_DESTINATION")); err != nil {
		fmt.Fprintln(os.Stderr, "scanner:", err)
		os.Exit(1)
	}
}

func scan(source, out string) error {
	if source == "" || out == "" {
		return errors.New("BUILDKIT_SCAN_SOURCE and BUILDKIT_SCAN_DESTINATION must be set")
	}
	folders := []string{source}
	if extras := os.Getenv("BUILDKIT_SCAN_SOURCE_EXTRAS"); extras != "" {
		entries, err := os.ReadDir(extras)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			folders = append(folders, filepath.Join(extras, entry.Name()))
		}
	}
	for _, folder := range folders {
		document, err := list(folder)
		if err != nil {
			return err
		}
		data, err := json.Marshal(statement{"https://in-toto.io/Statement/v0.1", predicate, []string{}, document})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, filepath.Base(folder)+".spdx.json"), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// list gives the SPDX document of what is in a folder. Trivy reads jars only where it looks for vulnerabilities, and looks for
// none where it writes SPDX: so the two are done one after the other.
func list(folder string) (json.RawMessage, error) {
	work, err := os.MkdirTemp("", "scanner-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	found, named, sbom := filepath.Join(work, "found"), filepath.Join(work, "named"), filepath.Join(work, "sbom")
	err = trivy("rootfs", "--skip-db-update", "--skip-java-db-update", "--offline-scan", "--scanners", "vuln,license",
		"--detection-priority", "comprehensive", "--pkg-types", "os,library", "--timeout", "30m",
		"--format", "json", "--list-all-pkgs", "--output", found, folder)
	if err != nil {
		return nil, err
	}
	if err := rename(found, named, folder); err != nil {
		return nil, err
	}
	if err := trivy("convert", "--format", "spdx-json", "--output", sbom, named); err != nil {
		return nil, err
	}
	return os.ReadFile(sbom)
}

// rename calls a list after its folder's name: where BuildKit mounted it means nothing to a reader.
func rename(found, named, folder string) error {
	data, err := os.ReadFile(found)
	if err != nil {
		return err
	}
	var document map[string]any
	if err := json.Unmarshal(data, &document); err != nil {
		return err
	}
	document["ArtifactName"] = filepath.Base(folder)
	if data, err = json.Marshal(document); err != nil {
		return err
	}
	return os.WriteFile(named, []byte(strings.ReplaceAll(string(data), folder, filepath.Base(folder))), 0o600)
}

func trivy(words ...string) error {
	command := exec.Command(program, append([]string{"--cache-dir", cache, "--quiet"}, words...)...)
	command.Env = append(os.Environ(), "TRIVY_SKIP_VERSION_CHECK=true", "TRIVY_DISABLE_TELEMETRY=true", "TRIVY_NO_PROGRESS=true")
	command.Dir = os.TempDir()
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	return command.Run()
}
