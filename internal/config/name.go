package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// checkNames reports account names that can't be directories of the archive as
// written, and those that would share a directory.
func (c *Config) checkNames(r *report) {
	owners := map[string]string{} // of each directory name, by fold
	// State database and socket may lie in the archive under names of the user's choice,
	// and the results of drills lie beside the state database.
	for _, path := range [][2]string{{"index.path", c.Index.Path}, {"state.path", c.State.Path + ".drills"}, {"state.path", c.State.Path}, {"control.socket", c.Control.Socket}} {
		if rel, err := filepath.Rel(c.Archive.Path, path[1]); err == nil && filepath.IsLocal(rel) {
			first, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
			owners[fold(first)] = fmt.Sprintf("%s, which %s puts into the archive", printable(first), path[0])
		}
	}
	for i := range c.Accounts {
		key, name := accountKey(i, "name"), c.Accounts[i].Name
		if err := checkName(name); err != nil {
			r.at(key, "%v", err)
			continue
		}
		folded := fold(name)
		if other, ok := owners[folded]; ok {
			r.at(key, "%s would have the same directory as %s; write another name", printable(name), other)
			continue
		}
		owners[folded] = fmt.Sprintf("account %s in line %d", printable(name), c.Accounts[i].Line)
	}
}

// CheckImportName returns an error unless messages can be imported into an account
// with that name: it must be valid, and not an account that the configuration
// archives from a server.
func (c *Config) CheckImportName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	for _, a := range c.Accounts {
		if fold(a.Name) == fold(name) {
			return fmt.Errorf("account %s is archived from %s by the configuration; name another", printable(a.Name), a.Host)
		}
	}
	return nil
}

// checkName returns an error unless an account can have the name: its directory
// must have exactly that name on every file system.
func checkName(name string) error {
	reserved := []string{"archive.json", "lock", "tmp", "journal.jsonl", "control.sock"}
	device := regexp.MustCompile(`^(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$`)
	month := regexp.MustCompile(`^[0-9]{4}-[0-9]{2}$`)
	switch {
	case name == "":
		return fmt.Errorf("is required: a short name, e.g. work; the account's directory is called so")
	case hasInvisible(name):
		return fmt.Errorf("%q has a control or invisible character", name)
	case strings.ContainsAny(name, `/\%<>:"|?*`):
		return fmt.Errorf(`%q is no name for a directory: write it without / \ %% < > : " | ? *`, name)
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") || strings.TrimSpace(name) != name:
		return fmt.Errorf("%q begins or ends with a dot, dash or space", name)
	case len(name) > 200:
		return fmt.Errorf("has %d octets; a directory's name has at most 200", len(name))
	case slices.Contains(reserved, fold(name)) || strings.HasPrefix(fold(name), "state.db") || month.MatchString(name):
		return fmt.Errorf("%s is a name of the archive's own; write another", name)
	case device.MatchString(name):
		return fmt.Errorf("%s is a device on Windows, so the archive could not be copied there; write another", name)
	}
	return nil
}

// fold returns equal texts for names that are equal on a file system that folds
// case or normalises Unicode (canonical caseless matching, Unicode 3.13 D145).
func fold(name string) string {
	return norm.NFD.String(cases.Fold().String(norm.NFD.String(name)))
}
