package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The first argument of this program when it runs as the limit, or as the limit of
// programs that make what they write durable.
const (
	limitArg        = "limit"
	durableLimitArg = "durable-limit"
)

// runAsLimit runs the limit and returns true if this process was started as one.
func runAsLimit() bool {
	if len(os.Args) != 7 || os.Args[1] != limitArg && os.Args[1] != durableLimitArg {
		return false
	}
	if err := runLimit(os.Args[1] == durableLimitArg, os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]); err != nil {
		fmt.Fprintln(os.Stderr, "limit:", err)
		os.Exit(1)
	}
	return true
}

// runLimit copies an account as fast as a client with one connection can: it sends all
// commands in one write and writes one file per message. It checks nothing, syncs
// nothing and stores only UIDNEXT of each mailbox.
//
// If durable is set, it also does what the format of the archive requires, and no more:
// it writes files with their date to tmp, syncs, moves them to their months and syncs.
func runLimit(durable bool, addr, ca, username, password, dir string) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: host, RootCAs: roots})
	if err != nil {
		return err
	}
	defer conn.Close()
	l := limitClient{conn: conn, r: bufio.NewReaderSize(conn, 128<<10), dir: dir, durable: durable, uidNext: map[string]int{}}
	known, err := readKnown(dir)
	if err != nil {
		return err
	}
	if _, err := l.r.ReadString('\n'); err != nil { // the greeting
		return err
	}
	if err := l.run(fmt.Sprintf("LOGIN %s %q", username, password)); err != nil {
		return err
	}
	if err := l.run(`LIST "" "*" RETURN (STATUS (UIDNEXT))`); err != nil {
		return err
	}
	var commands []string
	for name, next := range l.uidNext {
		if from := max(known[name], 1); next > from {
			commands = append(commands, "EXAMINE "+name, fmt.Sprintf("UID FETCH %d:* (UID INTERNALDATE BODY.PEEK[])", from))
		}
	}
	if len(commands) > 0 {
		if err := l.run(commands...); err != nil {
			return err
		}
	}
	if err := l.moveToMonths(); err != nil {
		return err
	}
	text, err := json.Marshal(l.uidNext)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "known"), text, 0o600)
}

// readKnown returns UIDNEXT of each mailbox at the end of the run before, if there was one.
func readKnown(dir string) (map[string]int, error) {
	known := map[string]int{}
	text, err := os.ReadFile(filepath.Join(dir, "known"))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	return known, json.Unmarshal(text, &known)
}

// limitClient is the connection of a limit and what it has received.
type limitClient struct {
	conn      net.Conn
	r         *bufio.Reader
	dir       string
	uidNext   map[string]int // UIDNEXT by mailbox, as the server writes its name
	mailboxes int            // number of those opened so far

	durable bool
	moves   [][2]string // from tmp to the final name
}

// run sends commands in one write and reads until all of them are answered.
func (l *limitClient) run(commands ...string) error {
	if _, err := l.conn.Write([]byte("a " + strings.Join(commands, "\r\na ") + "\r\n")); err != nil {
		return err
	}
	for answers := 0; answers < len(commands); {
		line, err := l.r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "a OK"):
			answers++
		case strings.HasPrefix(line, "a "):
			return errors.New(line)
		case strings.HasPrefix(line, "* STATUS "):
			name, items, _ := strings.Cut(line[len("* STATUS "):], " (UIDNEXT ")
			if l.uidNext[name], err = strconv.Atoi(strings.TrimRight(items, ")")); err != nil {
				return err
			}
		case strings.HasPrefix(line, "* FLAGS"): // EXAMINE
			l.mailboxes++
			if err := os.MkdirAll(filepath.Join(l.dir, strconv.Itoa(l.mailboxes)), 0o700); err != nil {
				return err
			}
		case strings.HasSuffix(line, "}") && strings.Contains(line, "BODY[] {"):
			if err := l.receive(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive writes the message that line announces to a file.
func (l *limitClient) receive(line string) error {
	var number, uid int
	var size int64
	head, date, _ := strings.Cut(line, ` INTERNALDATE "`)
	date, tail, _ := strings.Cut(date, `"`)
	if _, err := fmt.Sscanf(head+tail, "* %d FETCH (UID %d BODY[] {%d}", &number, &uid, &size); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	// The name has the process ID: a later run numbers the mailboxes differently.
	name := fmt.Sprintf("%d.%d.eml", os.Getpid(), uid)
	box := filepath.Join(l.dir, strconv.Itoa(l.mailboxes))
	if !l.durable {
		return l.copyTo(filepath.Join(box, name), size)
	}
	at, err := time.Parse("_2-Jan-2006 15:04:05 -0700", date)
	if err != nil {
		return err
	}
	tmp := filepath.Join(box, "tmp", name)
	l.moves = append(l.moves, [2]string{tmp, filepath.Join(box, at.UTC().Format("2006-01"), name)})
	err = l.copyTo(tmp, size)
	if errors.Is(err, fs.ErrNotExist) { // the first message of the mailbox
		if err = os.MkdirAll(filepath.Dir(tmp), 0o700); err == nil {
			err = l.copyTo(tmp, size)
		}
	}
	return errors.Join(err, os.Chtimes(tmp, at, at))
}

// copyTo copies the next size octets to a file.
func (l *limitClient) copyTo(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, l.r, size)
	return errors.Join(err, f.Close())
}

// moveToMonths makes the received files durable and moves them to their months.
func (l *limitClient) moveToMonths() error {
	if len(l.moves) == 0 {
		return nil
	}
	if err := syncFileSystem(l.dir); err != nil {
		return err
	}
	created := map[string]bool{}
	for _, m := range l.moves {
		if month := filepath.Dir(m[1]); !created[month] {
			if err := os.MkdirAll(month, 0o700); err != nil {
				return err
			}
			created[month] = true
		}
		if err := os.Rename(m[0], m[1]); err != nil {
			return err
		}
	}
	return syncFileSystem(l.dir)
}
