package drill

import (
	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/sync/restore"
)

// Source is a mailbox to take messages of.
type Source struct {
	restore.Source
	Messages int   // how many Load will return
	Err      error // why the mailbox can't be read, or not all of it
}

// New returns a drill of what the archive has of an account as on its server,
// restored to servers on this machine. The caller sets the other fields.
func New(a *archive.Archive, account string) (*Job, error) {
	j := &Job{Account: account, Open: a.OpenFile, Scratch: StartServer}
	s := history.Selection{Account: archive.Escape(account)}
	for selected, err := range history.Select(a, s) {
		if selected == nil {
			return nil, err
		}
		j.Sources = append(j.Sources, Source{
			Source:   restore.SelectedSource(a, account, selected.Name, selected.Mailbox, s),
			Messages: len(selected.Messages),
			Err:      err,
		})
	}
	return j, nil
}
