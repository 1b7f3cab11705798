package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/spf13/cobra"

	"archiverd/internal/config"
	"archiverd/internal/demomail"
	"archiverd/internal/imapd"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/state"
)

func (a *app) demoCommand() *cobra.Command {
	var keep string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Archive and restore the mail of a temporary IMAP server, as a demonstration",
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), keep) },
	}
	cmd.Flags().StringVar(&keep, "keep", "", "put the archive into `DIR` and keep it")
	return cmd
}

const (
	demoUser     = "ada@example.org"
	demoPassword = "correct horse battery staple"
)

func (a *app) demo(ctx context.Context, keep string) (err error) {
	if err := checkEmpty(keep); err != nil {
		return usage(err)
	}
	dir, err := os.MkdirTemp("", "archiverd-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	mail := filepath.Join(dir, "mail")
	if keep != "" {
		mail = keep
	}
	server, err := newDemoServer(dir, "server")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := fillDemo(server.user); err != nil {
		return err
	}
	cfg, err := server.config(mail)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "An IMAP server is listening on %s, over TLS, with the mail of %s.\n\n== The first sync\n\n", server.address, demoUser)
	if err := a.demoSync(ctx, cfg); err != nil {
		return err
	}
	later, err := demomail.Later()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\n== Meanwhile at the server: %d messages arrive, one vanishes, one is flagged\n\n", len(later))
	if err := changeDemo(server.user, later); err != nil {
		return err
	}
	if err := a.demoSync(ctx, cfg); err != nil {
		return err
	}
	bodies, octets := server.Sent()
	fmt.Fprintf(a.out, "\nThe server sent %d bodies in all, %d octets: nothing twice.\n\n== The archive: plain files\n\n", bodies, octets)
	if err := a.printTree(mail); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\n== INBOX/journal.jsonl: what happened there\n\n")
	if err := a.printTail(filepath.Join(mail, "ada", "INBOX", "journal.jsonl"), 8); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\n== archiverd verify\n\n")
	if err := a.verify(ctx, mail, nil, ""); err != nil {
		return err
	}
	if err := a.demoRestore(ctx, dir, mail); err != nil {
		return err
	}
	if keep != "" {
		fmt.Fprintf(a.out, "\nThe archive is in %s: try `archiverd list --archive %s`.\n", keep, keep)
	}
	return nil
}

// checkEmpty returns an error if dir has files: the demo's mail must not get into an
// archive that exists. No dir is empty too.
func checkEmpty(dir string) error {
	if dir == "" {
		return nil
	}
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(list) > 0 {
		err = fmt.Errorf("--keep %s: the directory is not empty; name a new one", dir)
	}
	return err
}

// demoServer is a temporary IMAP server with one user. The caller closes it.
type demoServer struct {
	*imapd.Server
	user    *imapd.User
	address string
	ca      string // file with the certificate of its authority
}

// newDemoServer starts a server, and writes its certificate into dir.
func newDemoServer(dir, name string) (*demoServer, error) {
	cert, err := imapd.SelfSigned()
	if err != nil {
		return nil, err
	}
	s := &demoServer{Server: imapd.New(imapd.Options{TLS: cert.Server}), ca: filepath.Join(dir, name+".pem")}
	s.user = s.AddUser(demoUser, demoPassword)
	if s.address, err = s.Listen("127.0.0.1:0"); err == nil {
		err = os.WriteFile(s.ca, cert.PEM, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// config returns a configuration with the server's user as its only account.
func (s *demoServer) config(archive string) (*config.Config, error) {
	cfg, err := config.Single(config.Flags{Server: s.address, Username: demoUser, Archive: archive, TLSCAFile: s.ca})
	if err != nil {
		return nil, err
	}
	cfg.Log.Level = slog.LevelWarn
	cfg.Archive.Memory = "" // it is thrown away
	cfg.Accounts[0].Name = "ada"
	cfg.Accounts[0].SetPassword([]byte(demoPassword))
	return cfg, nil
}

// demoRestore restores the archive to an empty server, twice.
func (a *app) demoRestore(ctx context.Context, dir, mail string) (err error) {
	server, err := newDemoServer(dir, "second")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	cfg, err := server.config(mail)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\n== The server is lost, a new one is empty: archiverd restore --to ada\n\n")
	if err := a.restore(ctx, cfg, restoreFlags{to: "ada", yes: true}, nil); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\n== A second restore: messages on the server are not appended again\n\n")
	return a.restore(ctx, cfg, restoreFlags{to: "ada", yes: true}, nil)
}

// demoSync runs the job of the one account and prints its ledger.
func (a *app) demoSync(ctx context.Context, cfg *config.Config) error {
	parts, err := setup.Open(cfg, a.logger(cfg))
	if err != nil {
		return err
	}
	j, err := parts.Job(&cfg.Accounts[0])
	if err != nil {
		return errors.Join(err, parts.Close())
	}
	run, err := j.Run(ctx)
	err = errors.Join(err, parts.Close(), printRuns(a.out, []state.Run{run}))
	return reported(err, run.OK())
}

// fillDemo delivers the mail of the demonstration to the server.
func fillDemo(user *imapd.User) error {
	boxes, err := demomail.Mailboxes()
	if err != nil {
		return err
	}
	for _, b := range boxes {
		if b.Name == "INBOX" {
			continue
		}
		var attrs []imap.MailboxAttr
		for _, at := range b.Attrs {
			attrs = append(attrs, imap.MailboxAttr(at))
		}
		if _, err := user.Create(b.Name, attrs...); err != nil {
			return err
		}
	}
	items, err := demomail.Load()
	if err != nil {
		return err
	}
	return deliver(user, items)
}

// deliver appends messages to their mailboxes.
func deliver(user *imapd.User, items []demomail.Item) error {
	for _, it := range items {
		box, err := user.Mailbox(it.Mailbox)
		if err != nil {
			return err
		}
		box.Append(imapd.Message{Flags: it.Flags, InternalDate: it.InternalDate, Body: it.Body})
	}
	return nil
}

// changeDemo changes the mail on the server between the two syncs: new messages arrive,
// one disappears, and one is flagged.
func changeDemo(user *imapd.User, later []demomail.Item) error {
	if err := deliver(user, later); err != nil {
		return err
	}
	inbox, err := user.Mailbox("INBOX")
	if err != nil {
		return err
	}
	list := inbox.Messages()
	inbox.Expunge(list[0].UID)
	inbox.SetFlags(list[1].UID, append(list[1].Flags, `\Flagged`)...)
	return nil
}

// maxTreeFiles is how many files of a directory the tree shows.
const maxTreeFiles = 3

// printTree prints the directories below dir, and the first files of each.
func (a *app) printTree(dir string) error {
	shown := map[string]int{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		indent := strings.Repeat("  ", strings.Count(rel, string(filepath.Separator)))
		if d.IsDir() {
			if d.Name() == "tmp" {
				return fs.SkipDir
			}
			fmt.Fprintf(a.out, "%s%s/\n", indent, safetext.Line(d.Name()))
			return nil
		}
		shown[filepath.Dir(p)]++
		switch n := shown[filepath.Dir(p)]; {
		case n <= maxTreeFiles:
			fmt.Fprintf(a.out, "%s%s\n", indent, safetext.Line(d.Name()))
		case n == maxTreeFiles+1:
			fmt.Fprintf(a.out, "%s…\n", indent)
		}
		return nil
	})
	return err
}

// printTail prints the first and the last n lines of a journal.
func (a *app) printTail(path string, n int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 4<<20)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if len(lines) > n {
		lines = slices.Concat(lines[:1], []string{"…"}, lines[len(lines)-n:])
	}
	for _, l := range lines {
		fmt.Fprintln(a.out, safetext.Line(l))
	}
	return s.Err()
}
