package cyrus

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"archiverd/internal/testing/process"
)

// imapdConf returns the text of imapd.conf for a server that greets with a name.
func imapdConf(s *process.Server, o Options, name string) string {
	yes := func(on bool) string {
		if on {
			return "yes"
		}
		return "no"
	}
	settings := map[string]string{
		"configdirectory":     s.Path("conf"),
		"defaultpartition":    "default",
		"partition-default":   s.Path("mail"),
		"cyrus_user":          s.Owner.User,
		"servername":          name,
		"altnamespace":        yes(!o.Prefix),
		"unixhierarchysep":    yes(!o.Dots),
		"autocreate_quota":    "0", // the first login makes the INBOX, without a limit
		"allowplaintext":      "yes",
		"sasl_pwcheck_method": "saslauthd",
		"sasl_saslauthd_path": s.Path("login"),
		"sasl_mech_list":      "PLAIN",
		"tls_server_cert":     s.Path("server.pem"),
		"tls_server_key":      s.Path("server.key"),
		"failedloginpause":    "0",
	}
	maps.Copy(settings, o.Settings)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s: %s\n", key, settings[key])
	}
	return b.String()
}

// cyrusConf returns the text of cyrus.conf: what the master starts.
func cyrusConf(s *process.Server, root string) string {
	program := func(name string) string {
		return filepath.Join(root, bin, name) + " -C " + s.Path("imapd.conf")
	}
	return fmt.Sprintf(`START {
  recover cmd="%s -r"
}
SERVICES {
  imap cmd="%s" listen="%s" prefork=0
  imaps cmd="%s -s" listen="%s" prefork=1
}
`, program("ctl_cyrusdb"), program("imapd"), s.PlainAddr, program("imapd"), s.Addr)
}

// environment returns the environment of the programs. If Cyrus is unpacked in a
// directory, it names the libraries there.
func environment(root string) ([]string, error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	if root == "/" {
		return env, nil
	}
	var libraries, plugins []string
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		libraries = append(libraries, found...)
	}
	for _, dir := range libraries {
		plugins = append(plugins, filepath.Join(dir, "sasl2"))
	}
	return append(env, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"), "SASL_PATH="+strings.Join(plugins, ":")), nil
}
