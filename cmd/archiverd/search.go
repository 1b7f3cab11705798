package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/search"
)

// queryHelp says in a command's help how a query is written.
const queryHelp = `A QUERY is terms with spaces between; all of them must hold:

  word                 in any header field or text; whole, in whatever case and accents
  beginning*           words that begin so
  "two words"          one right behind the other; so are a-b, a.b and me@example.com
  -TERM                not so
  from:WORD            From, Sender        to:WORD        To, Cc, Bcc
  cc:WORD              Cc, Bcc             subject:WORD   message-id:WORD
  text:WORD            any text part, HTML as text; attached text too
  filename:WORD        a file name of an attachment, or other part
  has:attachment       a part that says so or has a file name; not pictures shown in the text
  after:TIME           INTERNALDATE then or later       before:TIME   earlier
  larger:SIZE          octets: 5000, 100kB, 10MB        smaller:SIZE
  flag:FLAG            Seen, Flagged, Answered, $Forwarded, …
  mailbox:PATTERN      * is any text, % any without the delimiter; case makes no difference
  account:PATTERN

WORD may be "in quotes" too, which the shell must leave there: 'subject:"two words"'.
Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese are found wherever they stand.
`

func (a *app) searchCommand() *cobra.Command {
	var s selecting
	var account string
	limit := 100
	cmd := &cobra.Command{
		Use:   "search QUERY…",
		Short: "Find messages",
		Long: `Finds messages by words, header fields, dates, flags and mailboxes, the newest first:
date, sender, subject, mailbox and the ID that show takes. Equal messages are shown
once, with the number of further places. Searched is what the servers still had at the
last sync; with --gone what they no longer have, with --at the mailboxes of that time.

` + queryHelp + `
With an index, see archiverd index, an answer takes milliseconds. Without one, or where
the index is behind, the archive itself is read; the answers are the same.

` + timesHelp + exitHelp,
		Example: `  archiverd search from:alice invoice
  archiverd search 'subject:"annual report" has:attachment after:2026-01-01'
  archiverd search --gone mailbox:INBOX larger:10MB
  archiverd search 'rechnung* -from:amazon' --limit 0 --json
  archiverd search -- -flag:Seen account:work`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := queryText(cmd, args)
			if err != nil {
				return err
			}
			if limit < 0 {
				return usage(errors.New("--limit: write a number, or 0 for all"))
			}
			q, err := parseQuery(text)
			if err != nil {
				return err
			}
			return a.search(cmd.Context(), q, &s, account, limit)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&account, "account", "", "only `ACCOUNT` of the archive")
	f.IntVar(&limit, "limit", limit, "at most `N` messages, the newest; 0: all")
	f.SetInterspersed(false) // -word is a term
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if strings.Contains(err.Error(), "shorthand") {
			err = fmt.Errorf("%w; before a query that begins with - write --", err)
		}
		return err
	})
	return cmd
}

// queryText is the query of the arguments, among which flags may stand too.
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

// parseQuery reads a query as a person writes it.
func parseQuery(text string) (*search.Query, error) {
	q, err := search.Parse(text, func(field, text string) (time.Time, error) {
		t, err := parseTime(field, text)
		var e *exit
		if errors.As(err, &e) {
			err = e.err
		}
		return t, err
	})
	return q, usage(err)
}

// indexPath is where the index of an archive is: as configured, or without a
// configuration beside the state database of the archive.
func indexPath(r *archive.Archive, cfg *config.Config) string {
	if cfg != nil {
		return cfg.Index.Path
	}
	return filepath.Join(r.Path(), "state.db.index")
}

func (a *app) search(ctx context.Context, q *search.Query, s *selecting, account string, limit int) error {
	r, cfg, err := a.reader()
	if err != nil {
		return err
	}
	defer r.Close()
	dir := ""
	if account != "" {
		dir = archive.Escape(account)
		if _, err := selectBoxes(r, []string{account}); err != nil {
			return err
		}
	}
	sel, err := s.selection(dir)
	if err != nil {
		return err
	}
	var names []archive.Name
	chosen := sel.Mailbox
	if chosen != nil {
		sel.Mailbox = func(n archive.Name) bool { names = append(names, n); return chosen(n) }
	}
	ctx, stop := interruptible(ctx, a.err, "stopping")
	defer stop()
	found, err := (&search.Search{Archive: r, Query: q, Selection: sel, Index: indexPath(r, cfg), Limit: limit}).Run(ctx)
	if err != nil {
		return err
	}
	if chosen != nil && len(found.Results) == 0 {
		if err := s.missing(cmp.Or(account, "*"), names); err != nil {
			return err
		}
	}
	if a.json {
		err = a.searchJSON(r, found)
	} else {
		err = a.printFound(r, found)
	}
	for _, note := range found.Notes {
		fmt.Fprintln(a.err, "note: "+safetext.Line(note))
	}
	fmt.Fprintln(a.err, foundLine(found, limit, sel.Gone))
	for _, e := range found.Errors {
		fmt.Fprintln(a.err, "archiverd: "+safetext.Line(e.Error()))
	}
	if err == nil && len(found.Errors) > 0 {
		err = &exit{status: exitFailed}
	}
	return err
}

// foundLine says how many were found, and what to try.
func foundLine(found *search.Report, limit int, gone bool) string {
	n := len(found.Results)
	switch {
	case found.HasMore:
		return fmt.Sprintf("the newest %s; there are more: --limit 0 shows all", english.Plural(limit, "message", ""))
	case n == 0 && gone:
		return "no message found; words are found whole, begin* finds those that begin so"
	case n == 0:
		return "no message found; --gone searches what the servers no longer have, begin* finds words that begin so"
	}
	return english.Plural(n, "message", "") + " found"
}

// foundMessage is a result as search prints it for programs.
type foundMessage struct {
	ID      string       `json:"id"` // of the newest place
	Date    time.Time    `json:"internaldate,omitzero"`
	Size    int64        `json:"size"`
	SHA256  string       `json:"sha256"`
	From    string       `json:"from"`
	Subject string       `json:"subject"`
	Places  []foundPlace `json:"places"`
}

type foundPlace struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Mailbox string    `json:"mailbox"`
	UID     uint32    `json:"uid"`
	Date    time.Time `json:"internaldate,omitzero"`
	Flags   []string  `json:"flags"`
	Gone    time.Time `json:"gone,omitzero"`
}

func (a *app) searchJSON(r *archive.Archive, found *search.Report) error {
	list := make([]foundMessage, len(found.Results))
	for i, m := range found.Results {
		l := foundMessage{ID: m.Places[0].ID, Date: m.Date, Size: m.Size, SHA256: m.Sum.String()}
		l.From, l.Subject = heading(r, l.ID)
		for _, p := range m.Places {
			l.Places = append(l.Places, foundPlace{p.ID, p.Account, p.Mailbox, p.UID, p.InternalDate, p.Flags, p.Gone})
		}
		list[i] = l
	}
	return safetext.WriteJSON(a.out, list)
}

// foundLayout is how many columns each part of a line has.
type foundLayout struct {
	from, subject, mailbox int
	colour                 bool
	below                  bool // the ID stands on a line of its own
}

// The columns of a date, of an ID without its directories, and between two parts.
const (
	dateColumns  = 16
	shortColumns = 32
	gapColumns   = 2
)

// layout fits lines to the terminal; where there is none they are as list's, with
// the whole ID.
func (a *app) layout() foundLayout {
	l := foundLayout{from: 28, subject: 44, mailbox: 20}
	f, ok := a.out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return l
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 40 {
		width = 80
	}
	l.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	rest := width - 1 - dateColumns - 3*gapColumns
	if l.below = rest < 100; !l.below {
		rest -= shortColumns + gapColumns
	}
	l.from, l.mailbox = rest*3/10, rest*2/10
	l.subject = rest - l.from - l.mailbox
	return l
}

func (a *app) printFound(r *archive.Archive, found *search.Report) error {
	l := a.layout()
	terminal := l != foundLayout{from: 28, subject: 44, mailbox: 20}
	paint := func(code, s string) string {
		if !l.colour || s == "" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	const dim, bold = "2", "1"
	w := bufio.NewWriter(a.out)
	for _, m := range found.Results {
		date := strings.Repeat("-", dateColumns)
		if !m.Date.IsZero() {
			date = m.Date.Format("2006-01-02 15:04")
		}
		p := m.Places[0]
		from, subject := heading(r, p.ID)
		fmt.Fprintf(w, "%s  %s  %s  %s", paint(dim, date), pad(shortSender(from), l.from), paint(bold, pad(subject, l.subject)), whereFound(m, l.mailbox))
		id := safetext.Line(p.ID)
		switch {
		case l.below:
			fmt.Fprintf(w, "\n    %s\n", paint(dim, id))
		case terminal:
			fmt.Fprintf(w, "  %s\n", paint(dim, safetext.Line(strings.TrimSuffix(path.Base(p.ID), ".eml"))))
		default:
			fmt.Fprintf(w, "  %s\n", id)
		}
	}
	return w.Flush()
}

// shortSender is the name in a From field, else the address.
func shortSender(field string) string {
	name, _, _ := strings.Cut(field, "<")
	if name = strings.Trim(strings.TrimSpace(name), `"'`); name == "" {
		return field
	}
	return name
}

// whereFound is the mailbox of the first place and how many others there are.
func whereFound(m search.Result, width int) string {
	more := ""
	if n := len(m.Places) - 1; n > 0 {
		more = fmt.Sprintf(" +%d", n)
	}
	s := safetext.Cut(m.Places[0].Mailbox, width-len(more)) + more
	return s + strings.Repeat(" ", max(0, width-uniseg.StringWidth(s)))
}
