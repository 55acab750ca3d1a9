// Command vulndb writes a vulnerability database for Trivy, in its own schema and by its own module, from what package
// registries give: the records of the Go vulnerability database, and fixes that changelogs of OS packages name.
//
//	vulndb -osv FOLDER -fixes FILE -date TIME -out FOLDER
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/ecosystem"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	"github.com/aquasecurity/trivy-db/pkg/vulnsrc/osv"
	"github.com/aquasecurity/trivy-db/pkg/vulnsrc/vulnerability"
	bolt "go.etcd.io/bbolt"
)

var version = "unknown" // of trivy-db; set by the linker

// Fixes are what changelogs say of one release of a distribution.
type Fixes struct {
	Bucket   string                       `json:"bucket"`   // as Trivy calls the release: "debian 12"
	Source   types.SourceID               `json:"source"`   // as Trivy calls the distribution: "debian"
	Name     string                       `json:"name"`     // shown as the source of a finding
	URL      string                       `json:"url"`      // shown beside it
	Packages map[string]map[string]string `json:"packages"` // source package: vulnerability: version that fixes it
}

// goDatabase keeps all modules. Trivy's own takes only the standard library from here and the rest from GitHub's advisories.
type goDatabase struct{}

func (goDatabase) PostParseAffected(advisory osv.Advisory, affected osv.Affected) (osv.Advisory, error) {
	for _, each := range affected.EcosystemSpecific.Imports {
		advisory.OSes = merged(advisory.OSes, each.GOOS)
		advisory.Arches = merged(advisory.Arches, each.GOARCH)
	}
	return advisory, nil
}

func (goDatabase) TransformAdvisories(advisories []osv.Advisory, entry osv.Entry) ([]osv.Advisory, error) {
	for index := range advisories {
		advisories[index].References = append(advisories[index].References, "https://pkg.go.dev/vuln/"+entry.ID)
	}
	return advisories, nil
}

func merged(all, more []string) []string {
	for _, word := range more {
		if !strings.Contains(" "+strings.Join(all, " ")+" ", " "+word+" ") {
			all = append(all, word)
		}
	}
	return all
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(version)
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vulndb:", err)
		os.Exit(1)
	}
}

func run() error {
	records := flag.String("osv", "", "folder of the Go vulnerability database's OSV records")
	fixes := flag.String("fixes", "", "JSON file of fixes that changelogs name")
	date := flag.String("date", "", "how new its content is, RFC 3339")
	out := flag.String("out", "", "folder to write trivy.db and metadata.json to")
	flag.Parse()
	made, err := time.Parse(time.RFC3339, *date)
	if err != nil {
		return err
	}
	if err := db.Init(*out); err != nil {
		return err
	}
	if err := errors.Join(put(*records, *fixes), db.Close()); err != nil {
		return err
	}
	if err := compact(db.Path(*out)); err != nil {
		return err
	}
	// Nothing ever updates it in place: whoever wants a newer one makes or gets another.
	next := made.AddDate(100, 0, 0)
	return metadata.NewClient(*out).Update(metadata.Metadata{Version: db.SchemaVersion, UpdatedAt: made.UTC(), NextUpdate: next.UTC()})
}

func put(records, fixes string) error {
	if records != "" {
		source := types.DataSource{ID: vulnerability.GoVulnDB, Name: "The Go Vulnerability Database", URL: "https://pkg.go.dev/vuln/"}
		sources := map[ecosystem.Type]types.DataSource{ecosystem.Go: source}
		if err := osv.New("", vulnerability.GoVulnDB, sources, osv.WithTransformer(goDatabase{})).Update(records); err != nil {
			return err
		}
	}
	if fixes != "" {
		if err := putFixes(fixes); err != nil {
			return err
		}
	}
	return finish()
}

// compact leaves out the pages of the buckets that finish deleted: a fifth of the size is left.
func compact(file string) error {
	from, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	to, err := bolt.Open(file+".new", 0o644, nil)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	if err := errors.Join(bolt.Compact(to, from, 1<<20), to.Close(), from.Close()); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func putFixes(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var given Fixes
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	client := db.Config{}
	return client.BatchUpdate(func(tx *bolt.Tx) error {
		origin := types.DataSource{ID: given.Source, Name: given.Name, URL: given.URL}
		if err := client.PutDataSource(tx, given.Bucket, origin); err != nil {
			return err
		}
		for name, fixed := range given.Packages {
			for id, version := range fixed {
				advisory := types.Advisory{FixedVersion: version}
				if err := client.PutAdvisoryDetail(tx, id, name, []string{given.Bucket}, advisory); err != nil {
					return err
				}
				if err := client.PutVulnerabilityID(tx, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// finish does what trivy-db's own build does after its sources: details become one record for each vulnerability.
func finish() error {
	client := db.Config{}
	details := vulnerability.New(client)
	err := client.ForEachVulnerabilityID(func(tx *bolt.Tx, id string) error {
		if err := client.SaveAdvisoryDetails(tx, id); err != nil {
			return err
		}
		found := details.GetDetails(id)
		if len(found) == 0 {
			return nil
		}
		return client.PutVulnerability(tx, id, details.Normalize(id, found))
	})
	return errors.Join(err, client.DeleteVulnerabilityIDBucket(), client.DeleteVulnerabilityDetailBucket(), client.DeleteAdvisoryDetailBucket())
}
