package dovecot

import (
	"fmt"
	"net"
	"os"
	"strings"

	"archiverd/internal/testing/process"
)

// configuration returns the text of dovecot.conf, for Dovecot 2.3 or 2.4.
func configuration(s *process.Server, o Options, v23 bool) string {
	if o.Format == "" {
		o.Format = "mdbox"
	}
	var b strings.Builder
	if v23 {
		b.WriteString(storage23(s, o))
	} else {
		b.WriteString(storage24(s, o)) // its first two settings must be the first of the file
	}
	fmt.Fprintf(&b, settings, s.Path("run"), port(s.PlainAddr), port(s.Addr))
	if os.Geteuid() != 0 {
		b.WriteString(ordinaryUser(s.Owner))
	}
	if o.Quota > 0 {
		b.WriteString(quota(o.Quota, v23))
	}
	if o.Deflate && v23 { // later versions always offer it
		b.WriteString("protocol imap {\n  mail_plugins = $mail_plugins imap_zlib\n}\n")
	}
	fmt.Fprintln(&b, o.Extra)
	return b.String()
}

// storage23 returns the settings of mail, users and certificate in the words of
// Dovecot 2.3.
func storage23(s *process.Server, o Options) string {
	layout := ""
	switch {
	case o.Format == "mbox":
		layout = ":UTF-8"
	case o.Format == "maildir" && !o.Dotted:
		layout = ":LAYOUT=fs"
	}
	return fmt.Sprintf(`
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
`, s.Path("server.pem"), s.Path("server.key"), o.Format, layout, s.Path("users/%{user}"))
}

// storage24 is storage23 for Dovecot 2.4.
func storage24(s *process.Server, o Options) string {
	layout, utf8 := "fs", "no"
	if o.Dotted {
		layout = "maildir++"
	}
	if o.Format == "mbox" {
		utf8 = "yes"
	}
	return fmt.Sprintf(`dovecot_config_version = 2.4.0
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
`, s.Path("server.pem"), s.Path("server.key"), o.Format, s.Path("users/%{user}"), layout, utf8)
}

// settings are those that all versions share. Its verbs are the directory of the
// sockets and the ports of plaintext and TLS.
const settings = `
base_dir = %[1]s
state_dir = %[1]s
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = yes
auth_mechanisms = plain login
auth_failure_delay = 0
# BODY[] is sent as it was saved, with its CRLFs
mail_save_crlf = yes
mail_fsync = never
# for messages of hundreds of megabytes, and for many clients of one user
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
  # one process serves all logins: a connection costs no fork
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
`

// quota returns the settings that limit the octets of each user.
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

// ordinaryUser returns the settings without which Dovecot needs root: no process
// changes its user or its root directory.
func ordinaryUser(o process.Owner) string {
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

// port returns the port of an address of [net.Listener].
func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
