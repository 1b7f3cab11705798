package config

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// checkTrusted returns an error unless only root and the user who runs archiverd can
// change the file with that info: whoever can write to a configuration, or to a program
// that it names, has commands run. mode&0o020 counts too: a group has other users, and
// what an access list gives others shows there.
func checkTrusted(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		owner := userName(st.Uid)
		return fmt.Errorf("it belongs to %s, who could have commands run by %s: run archiverd as %s, or chown %s %s",
			owner, userName(uint32(os.Geteuid())), owner, userName(uint32(os.Geteuid())), printable(path))
	}
	return checkNotWritable(path, info)
}

// checkNotWritable returns an error if others than its owner can write to a file.
func checkNotWritable(path string, info fs.FileInfo) error {
	who := ""
	switch mode := info.Mode().Perm(); {
	case mode&0o002 != 0:
		who = "everybody"
	case mode&0o020 != 0:
		who = "its group"
	default:
		return nil
	}
	return fmt.Errorf("%s can write to it (mode %04o): chmod go-w %s, or chmod 600 %s", who, info.Mode().Perm(), printable(path), printable(path))
}

// checkCommand is checkTrusted for the program of a password command, if it is named by a
// path. One that is missing is reported when it runs.
func checkCommand(argv []string) error {
	if len(argv) == 0 || argv[0] == "" || argv[0][0] != '/' {
		return nil
	}
	info, err := os.Stat(argv[0])
	if err != nil {
		return nil
	}
	if err := checkTrusted(argv[0], info); err != nil {
		return fmt.Errorf("%s is not safe to run: %w", printable(argv[0]), err)
	}
	return nil
}

// userName names a user, by number if the system has no name for it.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return printable(u.Username)
	}
	return "user " + number
}
