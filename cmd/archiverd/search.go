package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/search"
)

// searchFlags are the flags of search.
type searchFlags struct {
	selectFlags
	account string
	limit   int // 0: all
}

func (a *app) searchCommand() *cobra.Command {
	var s searchFlags
	cmd := &cobra.Command{
		Use:   "search QUERY…",
		Short: "Find messages",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := queryText(cmd, args)
			if err != nil {
				return err
			}
			if s.limit < 0 {
				return usage(errors.New("--limit: write a number, or 0 for all"))
			}
			q, err := parseQuery(text)
			if err != nil {
				return err
			}
			return a.search(cmd.Context(), q, &s)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	s.add(cmd)
	f := cmd.Flags()
	f.StringVar(&s.account, "account", "", "only `ACCOUNT` of the archive")
	f.IntVar(&s.limit, "limit", 100, "at most `N` messages, the newest; 0: all")
	f.SetInterspersed(false) // -word is a term
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if strings.Contains(err.Error(), "shorthand") {
			err = fmt.Errorf("%w; before a query that begins with - write --", err)
		}
		return err
	})
	return cmd
}

// queryText returns the query of the arguments. Flags may stand between its terms.
func queryText(cmd *cobra.Command, args []string) (string, error) {
	var words []string
	for dashes := cmd.ArgsLenAtDash() >= 0; len(args) > 0; {
		if !dashes && strings.HasPrefix(args[0], "--") {
			if err := cmd.Flags().Parse(args); err != nil {
				return "", usage(err)
			}
			dashes = cmd.Flags().ArgsLenAtDash() >= 0
			args = cmd.Flags().Args()
			continue
		}
		words = append(words, args[0])
		args = args[1:]
	}
	return strings.Join(words, " "), nil
}

// parseQuery reads a query as help/parts/query.txt describes it. Its errors are usage
// errors.
func parseQuery(text string) (*search.Query, error) {
	q, err := search.Parse(text, func(field, text string) (time.Time, error) {
		t, err := parseTime(field, text)
		var e *exitError
		if errors.As(err, &e) {
			err = e.err
		}
		return t, err
	})
	return q, usage(err)
}

// indexPath is the index of an archive: that of the configuration, or without one the
// file beside the archive's own state database.
func indexPath(r *archive.Archive, cfg *config.Config) string {
	if cfg != nil {
		return cfg.Index.Path
	}
	return filepath.Join(r.Path(), "state.db.index")
}

func (a *app) search(ctx context.Context, q *search.Query, s *searchFlags) error {
	r, cfg, err := a.reader()
	if err != nil {
		return err
	}
	defer r.Close()
	dir := ""
	if s.account != "" {
		if dir, err = archivedAccount(r, s.account); err != nil {
			return err
		}
	}
	sel, err := s.selection(dir)
	if err != nil {
		return err
	}
	names := recordNames(&sel)
	ctx, stop := interruptible(ctx, a.err, "the search is being stopped")
	defer stop()
	found, err := (&search.Search{Archive: r, Query: q, Selection: sel, Index: indexPath(r, cfg), Limit: s.limit}).Run(ctx)
	if err != nil {
		return err
	}
	if len(found.Results) == 0 {
		if err := s.checkPatterns(cmp.Or(s.account, "*"), *names); err != nil {
			return err
		}
	}
	list := newFoundMessages(r, found.Results)
	err = a.print(list, func(w io.Writer) error { return printFound(w, list) })
	a.printNotes(found.Notes, nil)
	fmt.Fprintln(a.err, foundLine(found, s.limit, sel.Gone))
	a.printNotes(nil, found.Errors)
	return reported(err, len(found.Errors) == 0)
}

// foundMessage is a result as search prints it.
type foundMessage struct {
	ID      string       `json:"id"` // of the newest place
	Date    time.Time    `json:"internaldate,omitzero"`
	Size    int64        `json:"size"`
	SHA256  string       `json:"sha256"`
	From    string       `json:"from"`
	Subject string       `json:"subject"`
	Places  []foundPlace `json:"places"` // at least one
}

// foundPlace is one of the places of a message.
type foundPlace struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Mailbox string    `json:"mailbox"`
	UID     uint32    `json:"uid"`
	Date    time.Time `json:"internaldate,omitzero"`
	Flags   []string  `json:"flags"`
	Gone    time.Time `json:"gone,omitzero"`
}

// newFoundMessages reads sender and subject of each result from its file.
func newFoundMessages(r *archive.Archive, results []search.Result) []foundMessage {
	list := make([]foundMessage, len(results))
	for i, m := range results {
		l := foundMessage{ID: m.Places[0].ID, Date: m.Date, Size: m.Size, SHA256: m.Sum.String()}
		l.From, l.Subject = senderAndSubject(r, l.ID)
		for _, p := range m.Places {
			l.Places = append(l.Places, foundPlace{p.ID, p.Account, p.Mailbox, p.UID, p.InternalDate, p.Flags, p.Gone})
		}
		list[i] = l
	}
	return list
}
