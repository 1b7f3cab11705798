package process

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// Owner is the user that a mail server runs as and that owns its mail.
type Owner struct {
	UID, GID    int
	User, Group string
}

// FindOwner returns nobody for root, since no mail server reads mail as root, and
// the user of this process otherwise.
func FindOwner() (Owner, error) {
	current := user.Current
	if os.Geteuid() == 0 {
		current = func() (*user.User, error) { return user.Lookup("nobody") }
	}
	u, err := current()
	if err != nil {
		return Owner{}, err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return Owner{}, err // Dovecot's configuration wants names
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return Owner{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return Owner{}, fmt.Errorf("group %s: %w", g.Name, err)
	}
	return Owner{UID: uid, GID: gid, User: u.Username, Group: g.Name}, nil
}
