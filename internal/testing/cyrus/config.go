package cyrus

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bin is where the programs are, below the folder that Cyrus is unpacked in.
const bin = "usr/lib/cyrus/bin"

// imapdConf returns the text of imapd.conf.
func imapdConf(s *Server, o Options) string {
	yes := func(on bool) string {
		if on {
			return "yes"
		}
		return "no"
	}
	settings := map[string]string{
		"configdirectory":     s.own("conf"),
		"defaultpartition":    "default",
		"partition-default":   s.own("mail"),
		"cyrus_user":          s.owner.User,
		"servername":          s.name,
		"altnamespace":        yes(!o.Prefix),
		"unixhierarchysep":    yes(!o.Dots),
		"autocreate_quota":    "0", // INBOX comes with the first login, without a limit
		"allowplaintext":      "yes",
		"sasl_pwcheck_method": "saslauthd",
		"sasl_saslauthd_path": s.own("login"),
		"sasl_mech_list":      "PLAIN",
		"tls_server_cert":     s.own("server.pem"),
		"tls_server_key":      s.own("server.key"),
		"failedloginpause":    "0",
	}
	maps.Copy(settings, o.Settings)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s: %s\n", name, settings[name])
	}
	return b.String()
}

// cyrusConf returns the text of cyrus.conf: what the master starts.
func cyrusConf(s *Server) string {
	program := func(name string) string {
		return filepath.Join(s.root, bin, name) + " -C " + s.own("imapd.conf")
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

// environment returns that of the programs: with their own libraries, where they
// are not installed.
func environment(root string) ([]string, error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	if root == "/" {
		return env, nil
	}
	var folders []string
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		folders = append(folders, found...)
	}
	var plugins []string
	for _, f := range folders {
		plugins = append(plugins, filepath.Join(f, "sasl2"))
	}
	return append(env, "LD_LIBRARY_PATH="+strings.Join(folders, ":"), "SASL_PATH="+strings.Join(plugins, ":")), nil
}
