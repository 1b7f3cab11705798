package dovecot

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// Owner is the user that a mail server runs as.
type Owner struct {
	UID, GID    int
	User, Group string
}

// FindOwner returns nobody for root, since no mail server reads mail as root, and
// the user of this process for any other.
func FindOwner() (Owner, error) {
	find := user.Current
	if os.Geteuid() == 0 {
		find = func() (*user.User, error) { return user.Lookup("nobody") }
	}
	u, err := find()
	if err != nil {
		return Owner{}, err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return Owner{}, err // Dovecot wants names
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return Owner{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return Owner{}, fmt.Errorf("group %s: %w", g.Name, err)
	}
	return Owner{uid, gid, u.Username, g.Name}, nil
}

// configuration returns the text of dovecot.conf.
func configuration(s *Server, o Options, v23 bool) string {
	format := o.Format
	if format == "" {
		format = "mdbox"
	}
	own := func(name string) string { return filepath.Join(s.dir, name) }
	var b strings.Builder
	if v23 {
		layout := ""
		switch {
		case format == "mbox":
			layout = ":UTF-8"
		case format == "maildir" && !o.Dotted:
			layout = ":LAYOUT=fs"
		}
		fmt.Fprintf(&b, `
disable_plaintext_auth = no
ssl_cert = <%[1]s
ssl_key = <%[2]s
mail_location = %[3]s:~/mail%[4]s
passdb {
  driver = passwd-file
  args = %[5]s
}
userdb {
  driver = passwd-file
  args = %[5]s
}
service imap-login {
  service_count = 0
}
`, own("server.pem"), own("server.key"), format, layout, own("users/%{user}"))
	} else {
		layout := "fs"
		if o.Dotted {
			layout = "maildir++"
		}
		// these two must be the first settings
		fmt.Fprintf(&b, `dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
auth_allow_cleartext = yes
ssl_server_cert_file = %[1]s
ssl_server_key_file = %[2]s
mail_driver = %[3]s
mail_path = ~/mail
mailbox_list_layout = %[5]s
mailbox_list_utf8 = %[6]s
passdb passwd-file {
  passwd_file_path = %[4]s
}
userdb passwd-file {
  passwd_file_path = %[4]s
}
service imap-login {
  restart_request_count = unlimited
}
`, own("server.pem"), own("server.key"), format, own("users/%{user}"), layout, map[bool]string{true: "yes", false: "no"}[format == "mbox"])
	}
	fmt.Fprintf(&b, `
base_dir = %[1]s
state_dir = %[1]s
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = yes
auth_mechanisms = plain login
auth_failure_delay = 0
# BODY[] goes out as it was saved, with its CRLFs, from few large files
mail_save_crlf = yes
mail_fsync = never
# room for messages of hundreds of megabytes, and for many clients of one user
default_vsz_limit = 2G
protocol imap {
  mail_max_userip_connections = 10000
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    special_use = \Drafts
  }
  mailbox Junk {
    special_use = \Junk
  }
  mailbox Sent {
    special_use = \Sent
  }
  mailbox Trash {
    special_use = \Trash
  }
}
service imap-login {
  # one process stays for all logins (above): a connection costs no fork
  process_min_avail = 1
  inet_listener imap {
    port = %[2]s
  }
  inet_listener imaps {
    port = %[3]s
    ssl = yes
  }
}
service anvil {
  # no growing delay for an address after failed logins
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`, own("run"), port(s.PlainAddr), port(s.Addr))
	if os.Geteuid() != 0 {
		b.WriteString(asOrdinaryUser(s.mailOwner))
	}
	if o.Quota > 0 {
		b.WriteString(quota(o.Quota, v23))
	}
	if o.Deflate && v23 { // later versions always can
		b.WriteString("protocol imap {\n  mail_plugins = $mail_plugins imap_zlib\n}\n")
	}
	fmt.Fprintln(&b, o.Extra)
	return b.String()
}

// quota returns the settings by which each user has so many octets.
func quota(octets int64, v23 bool) string {
	if v23 {
		return fmt.Sprintf(`
mail_plugins = quota
protocol imap {
  mail_plugins = quota imap_quota
}
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:bytes=%d
}
`, octets)
	}
	return fmt.Sprintf(`
mail_plugins {
  quota = yes
}
protocol imap {
  mail_plugins {
    imap_quota = yes
  }
}
quota_storage_size = %dB
quota "User quota" {
}
`, octets)
}

// asOrdinaryUser returns the settings by which no process changes user or root.
func asOrdinaryUser(o Owner) string {
	return fmt.Sprintf(`
default_internal_user = %[1]s
default_login_user = %[1]s
default_internal_group = %[2]s
first_valid_uid = %[3]d
first_valid_gid = %[4]d
service imap-login {
  chroot =
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`, o.User, o.Group, o.UID, o.GID)
}

// port returns the port of an address that net.Listener gave.
func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
