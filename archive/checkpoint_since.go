package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Mailboxes returns the mailboxes that have a checkpoint and were not forgotten, by
// directory: those of the account with that directory, or of all accounts with "".
func (c *Checkpoints) Mailboxes(account string) []MailboxDir {
	return c.list(account, false)
}

// Forgotten returns the mailboxes whose owner has forgotten them, by directory.
func (c *Checkpoints) Forgotten() []MailboxDir { return c.list("", true) }

func (c *Checkpoints) list(account string, forgotten bool) (out []MailboxDir) {
	for _, dir := range slices.Sorted(maps.Keys(c.known)) {
		of, _, _ := strings.Cut(dir, "/")
		if c.known[dir].isForgotten == forgotten && (account == "" || account == of) {
			out = append(out, MailboxDir{of, dir})
		}
	}
	return out
}

// ToVerify returns everything that is or was a mailbox: the directories that have a
// journal, that have a checkpoint in c, or that have months, as messages do. account
// limits them as in Mailboxes.
func (a *Archive) ToVerify(c *Checkpoints, account string) ([]MailboxDir, error) {
	accounts := []string{account}
	if account == "" {
		var err error
		if accounts, err = a.Accounts(); err != nil {
			return nil, err
		}
	}
	out := c.Mailboxes(account)
	for _, acc := range accounts {
		err := a.directoriesBelow(acc, acc, &out, func(names []string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return n == journalName || isMonth(n) })
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read archive: %w", err)
		}
	}
	slices.SortFunc(out, func(x, y MailboxDir) int { return cmp.Compare(x.Dir, y.Dir) })
	return slices.Compact(out), nil
}

// IsOrphaned reports whether b has message files and no journal, although its owner has not
// forgotten it.
func (a *Archive) IsOrphaned(c *Checkpoints, b MailboxDir) (bool, error) {
	if k := c.known[b.Dir]; k != nil && k.isForgotten {
		return false, nil
	}
	v := &verifier{a: a, dir: b, result: &VerifyResult{}}
	if _, err := a.root.Lstat(b.Journal()); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	files, err := v.walk(VerifyOptions{})
	return slices.ContainsFunc(files, isMessageName), err
}

// Accounts returns the directories of the accounts that have such mailboxes, sorted.
func (c *Checkpoints) Accounts() []string {
	var out []string
	for _, b := range c.Mailboxes("") {
		out = append(out, b.Account)
	}
	return slices.Compact(out) // a directory sorts before what is below it
}

// VerifyCheckpoints checks checkpoints.jsonl itself: that it is there if archive.json
// names it, and fits its seals. What it finds is in the result, whose Dir is "", and
// whose Seal is the last one. What it finds once it looks for again, because a writer may
// work beside.
func (a *Archive) VerifyCheckpoints() (*VerifyResult, error) {
	for looks := 1; ; looks++ {
		r, err := a.verifyCheckpoints()
		if err != nil || len(r.damagedPaths()) == 0 || looks == 2 {
			return r, err
		}
	}
}

// verifyCheckpoints is VerifyCheckpoints without the second look.
func (a *Archive) verifyCheckpoints() (*VerifyResult, error) {
	fresh := &Archive{root: a.root, path: a.path}
	if err := fresh.readInfo(); err != nil { // archive.json comes first: it names only what is durable
		return nil, err
	}
	c, err := a.ReadCheckpoints()
	if err != nil {
		return nil, err
	}
	r := &VerifyResult{Seal: c.Seal}
	err = c.check(fresh.info.Checkpoints, CheckpointsMark{})
	var lost *CheckpointsError
	switch {
	case errors.As(err, &lost):
		r.Findings = append(r.Findings, Finding{checkpointsName, lost.Text + "; " + checkpointsRemedy, true})
	case err != nil:
		r.Findings = append(r.Findings, Finding{checkpointsName, "has events of a newer archiverd, which this one can't check", false})
	case c.size > c.Offset:
		r.Findings = append(r.Findings, Finding{checkpointsName, fmt.Sprintf("ends in %d octets without a good seal, of an interrupted write; the next run removes them", c.size-c.Offset), false})
	}
	return r, nil
}

// VerifySince checks that everything that stood in the archive when seal was the last
// seal of its checkpoints still stands, except what its owner decided to forget or to go
// on without since. Together with VerifyCheckpoints and Verify of every mailbox it proves
// that nothing was changed, cut or removed.
func (a *Archive) VerifySince(seal string) ([]Finding, error) {
	first, err := a.verifySince(seal)
	if err != nil || !slices.ContainsFunc(first, func(f Finding) bool { return f.Damage }) {
		return first, err
	}
	return a.verifySince(seal) // its owner may have decided meanwhile
}

// verifySince is VerifySince without a second look.
func (a *Archive) verifySince(seal string) ([]Finding, error) {
	c, err := a.ReadCheckpoints()
	if err != nil {
		return nil, err
	}
	then, reason, err := a.checkpointsAt(c, seal)
	if err != nil {
		return nil, err
	}
	if then == nil {
		return []Finding{{checkpointsName, fmt.Sprintf("has no seal %s, so what it covered can't be proven%s", seal, reason), true}}, nil
	}
	var out []Finding
	for _, b := range then.Mailboxes("") {
		if w := c.known[b.Dir]; w != nil && w.decidedAt > 0 && (c.Part > then.Part || w.decidedAt > then.Offset) {
			what := cmp.Or(w.decided.Reason, w.decided.Lost)
			out = append(out, Finding{b.Dir, fmt.Sprintf("%s on %s: %s", w.decided.Event, w.decided.At, what), false})
			continue
		}
		_, _, err := a.compareJournal(b, then.of(b.Dir))
		switch {
		case errors.Is(err, ErrLost):
			var lost *LossError
			_ = errors.As(err, &lost)
			out = append(out, Finding{b.Journal(), "since that seal: " + lost.Text, true})
		case errors.Is(err, ErrCorrupt): // behind what the seal covers
		case err != nil:
			return nil, err
		}
	}
	return out, nil
}

// checkpointsAt returns the checkpoints as they were when seal was the last one: of the
// file, or of a packed part that continues in it. If no such place is known they are
// nil, and reason says why.
func (a *Archive) checkpointsAt(c *Checkpoints, seal string) (then *Checkpoints, reason string, err error) {
	f, err := a.OpenFile(checkpointsName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ": the file is missing", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	then, err = readCheckpointsUntil(f, seal)
	if then != nil || err != nil {
		return then, "", err
	}
	before := c.continues
	for part := c.Part - 1; part > 0; part-- {
		if then, before, err = a.packedCheckpointsAt(c.ID, part, before, seal); err != nil {
			return nil, fmt.Sprintf(" (%v)", err), nil
		}
		if then != nil {
			return then, "", nil
		}
	}
	return nil, "", nil
}

// packedCheckpointsAt is checkpointsAt for a packed part, whose last seal must be last.
// It also returns the last seal of the part before that.
func (a *Archive) packedCheckpointsAt(id string, part int, last, seal string) (then *Checkpoints, before string, err error) {
	name := checkpointsPart(part)
	for _, until := range []string{seal, ""} {
		f, err := a.OpenFile(name)
		if err != nil {
			return nil, "", err
		}
		defer f.Close()
		z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(maxPartWindow))
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
		defer z.Close()
		if until != "" {
			if then, err = readCheckpointsUntil(z, until); err != nil {
				return nil, "", fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		all, err := readCheckpointsFrom(z)
		switch {
		case err != nil:
			return nil, "", fmt.Errorf("%s: %w", name, err)
		case all.corrupt != nil || all.ID != id || all.Part != part || all.Seal != last:
			return nil, "", fmt.Errorf("%s is not the part that the next one continues", name)
		}
		before = all.continues
	}
	return then, before, nil
}

// maxPartWindow is the most octets that reading a packed part may look back.
const maxPartWindow = 64 << 20
