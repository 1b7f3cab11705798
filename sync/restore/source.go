package restore

import (
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

// Source is a mailbox to restore: of the archive, or made of files.
type Source struct {
	Account string       // whose mailbox it is, for people
	Name    archive.Name // in the archive
	// Load returns the messages in the order in which they are appended. It is
	// called for the plan and again for the run, for different sources from
	// several goroutines.
	Load func() ([]Item, error)
}

// Item is a message to restore.
type Item struct {
	ID           string // its path in the archive, or of the file
	Size         int64  // octets
	Sum          archive.Sum
	InternalDate time.Time // with the zone it had; zero: none
	Flags        []string
}

// NewItem returns a message of an archived mailbox as an item.
func NewItem(dir archive.MailboxDir, m *archive.Message) Item {
	return Item{ID: dir.ID(m), Size: m.Size, Sum: m.Sum, InternalDate: m.InternalDate, Flags: m.Flags}
}

// SelectedSource returns an archived mailbox as a source. Load selects its
// messages again, so that those of all mailboxes are not in memory at once.
func SelectedSource(a *archive.Archive, account string, name archive.Name, dir archive.MailboxDir, s history.Selection) Source {
	return Source{Account: account, Name: name, Load: func() ([]Item, error) {
		selected, err := history.SelectMailbox(a, dir, s)
		if err != nil || selected == nil {
			return nil, err
		}
		items := make([]Item, len(selected.Messages))
		for i, m := range selected.Messages {
			items[i] = NewItem(dir, m)
		}
		return items, nil
	}}
}
