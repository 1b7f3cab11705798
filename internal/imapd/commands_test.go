package imapd

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

func TestFlags(t *testing.T) {
	r := start(t, Options{})
	m := r.inbox(t)
	u := m.Append(Message{Flags: []string{`\Seen`, "CamelCase", "camelcase", `\Recent`}})
	c := r.login(t, nil)
	open(t, c, "INBOX", false)
	store := func(op imap.StoreFlagsOp, flags ...imap.Flag) []imap.Flag {
		got, err := c.Store(imap.UIDSetNum(imap.UID(u)), &imap.StoreFlags{Op: op, Flags: flags}, nil).Collect()
		if err != nil || len(got) != 1 {
			t.Fatalf("STORE: %d responses, %v", len(got), err)
		}
		return got[0].Flags
	}
	for _, c := range []struct {
		got  []imap.Flag
		want string
	}{
		{store(imap.StoreFlagsAdd, "CAMELCASE", "Other"), `[\Seen CamelCase Other]`},
		{store(imap.StoreFlagsDel, "other", `\seen`), `[CamelCase]`},
		{store(imap.StoreFlagsSet, `\Flagged`, "$MDNSent"), `[\Flagged $MDNSent]`},
		{store(imap.StoreFlagsSet), `[]`},
	} {
		if got := fmt.Sprint(c.got); got != c.want {
			t.Errorf("flags %s, want %s", got, c.want)
		}
	}
	if !m.SetFlags(u, "MiXed") || m.SetFlags(u+1, "MiXed") {
		t.Error("SetFlags finds what is not there, or not what is")
	}
	if got := fetch(t, c, allUIDs, all)[0].Flags; fmt.Sprint(got) != "[MiXed]" {
		t.Errorf("flags %q", got)
	}
	if data := open(t, c, "INBOX", false); !slices.Contains(data.Flags, "MiXed") || !slices.Contains(data.PermanentFlags, imap.FlagWildcard) {
		t.Errorf("SELECT shows FLAGS %q, PERMANENTFLAGS %q", data.Flags, data.PermanentFlags)
	}
}

func TestSearch(t *testing.T) {
	r := start(t, Options{})
	m := r.inbox(t)
	day := func(d int, zone int) time.Time {
		return time.Date(2026, 3, d, 23, 30, 0, 0, time.FixedZone("", zone*3600))
	}
	m.Append(Message{UID: 5, InternalDate: day(1, -8), Flags: []string{`\Seen`}, Body: []byte("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Sun, 01 Mar 2026 10:00:00 +0000\r\n\r\nneedle")})
	m.Append(Message{UID: 9, InternalDate: day(2, 9), Flags: []string{"Key"}, Body: bytes.Repeat([]byte("x"), 1000)})
	m.Append(Message{UID: 12, InternalDate: day(3, 0), Body: []byte("Message-ID: <a@example.org>\r\nSubject: needle\r\n\r\nhay")})
	c := r.login(t, nil)
	open(t, c, "INBOX", true)
	for _, k := range []struct {
		name string
		c    imap.SearchCriteria
		want string
	}{
		{"ALL", imap.SearchCriteria{}, "5,9,12"},
		{"UID", imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 6, Stop: 9}, {Start: 100}}}}, "9,12"},
		{"sequence", imap.SearchCriteria{SeqNum: []imap.SeqSet{imap.SeqSetNum(1, 2)}}, "5,9"},
		{"SEEN", imap.SearchCriteria{Flag: []imap.Flag{`\Seen`}}, "5"},
		{"UNSEEN", imap.SearchCriteria{NotFlag: []imap.Flag{`\Seen`}}, "9,12"},
		{"KEYWORD", imap.SearchCriteria{Flag: []imap.Flag{"kEY"}}, "9"},
		{"SINCE", imap.SearchCriteria{Since: day(2, 0).Truncate(24 * time.Hour)}, "9,12"},
		{"BEFORE", imap.SearchCriteria{Before: day(2, 0).Truncate(24 * time.Hour)}, "5"},
		{"SENTSINCE", imap.SearchCriteria{SentSince: day(1, 0).Truncate(24 * time.Hour)}, "5"},
		{"LARGER", imap.SearchCriteria{Larger: 999}, "9"},
		{"SMALLER", imap.SearchCriteria{Smaller: 1000}, "5,12"},
		{"HEADER", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: "<A@example.org>"}}}, "12"},
		{"HEADER exists", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject"}}}, "5,12"},
		{"SUBJECT", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "grüße"}}}, "5"},
		{"TEXT", imap.SearchCriteria{Text: []string{"NEEDLE"}}, "5,12"},
		{"BODY", imap.SearchCriteria{Body: []string{"needle"}}, "5"},
		{"NOT", imap.SearchCriteria{Not: []imap.SearchCriteria{{UID: []imap.UIDSet{imap.UIDSetNum(9)}}}}, "5,12"},
		{"OR", imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Flag: []imap.Flag{`\Seen`}}, {Larger: 999}}}}, "5,9"},
		{"nothing", imap.SearchCriteria{Flag: []imap.Flag{`\Draft`}}, ""},
	} {
		for _, o := range []*imap.SearchOptions{nil, {ReturnAll: true, ReturnMin: true, ReturnMax: true, ReturnCount: true}} {
			got, err := c.UIDSearch(&k.c, o).Wait()
			if err != nil {
				t.Errorf("%s: %v", k.name, err)
				continue
			}
			if text := imap.UIDSetNum(got.AllUIDs()...).String(); text != k.want {
				t.Errorf("%s: %q, want %q", k.name, text, k.want)
			}
			if n := len(got.AllUIDs()); o != nil && n > 0 &&
				(got.Count != uint32(n) || got.Min != uint32(got.AllUIDs()[0]) || got.Max != uint32(got.AllUIDs()[n-1])) {
				t.Errorf("%s: ESEARCH COUNT %d MIN %d MAX %d", k.name, got.Count, got.Min, got.Max)
			}
		}
	}
	got, err := c.Search(&imap.SearchCriteria{Larger: 999}, nil).Wait()
	if err != nil || fmt.Sprint(got.AllSeqNums()) != "[2]" {
		t.Errorf("SEARCH by sequence number: %v, %v", got.AllSeqNums(), err)
	}
}

func TestCopyMoveExpunge(t *testing.T) {
	r := start(t, Options{})
	m, other := r.inbox(t), r.create(t, "other")
	other.Append(Message{UID: 40})
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for _, b := range []string{"a", "b", "c", "d"} {
		m.Append(Message{Body: []byte(b), Flags: []string{`\Deleted`, b}, InternalDate: date})
	}
	c := r.login(t, nil)
	open(t, c, "INBOX", false)
	copied, err := c.Copy(imap.UIDSetNum(1, 3), "other").Wait()
	if err != nil || copied.SourceUIDs.String() != "1,3" || copied.DestUIDs.String() != "41:42" || copied.UIDValidity != other.UIDValidity() {
		t.Errorf("COPYUID %+v, %v", copied, err)
	}
	moved, err := c.Move(imap.UIDSetNum(2), "other").Wait()
	if err != nil || moved.DestUIDs.String() != "43" {
		t.Errorf("MOVE: %+v, %v", moved, err)
	}
	seqs, err := c.UIDExpunge(imap.UIDSetNum(1, 2)).Collect()
	if err != nil || fmt.Sprint(seqs) != "[1]" {
		t.Errorf("UID EXPUNGE says %d, %v", seqs, err)
	}
	m.SetFlags(4)
	seqs, err = c.Expunge().Collect()
	if err != nil || fmt.Sprint(seqs) != "[1]" {
		t.Errorf("EXPUNGE says %d, %v", seqs, err)
	}
	if got := uids(m.Messages()); !slices.Equal(got, []uint32{4}) {
		t.Errorf("UIDs %d are left", got)
	}
	text := ""
	for _, msg := range other.Messages()[1:] {
		text += string(msg.Body) + msg.Flags[1]
		if !msg.InternalDate.Equal(date) {
			t.Errorf("INTERNALDATE of UID %d changed to %v", msg.UID, msg.InternalDate)
		}
	}
	if text != "aaccbb" {
		t.Errorf("copies and their keywords are %q", text)
	}
	var refused *imap.Error
	if _, err := c.Copy(allUIDs, "none").Wait(); !errors.As(err, &refused) || refused.Code != imap.ResponseCodeTryCreate {
		t.Errorf("COPY to no mailbox: %v", err)
	}
	if data, err := c.Copy(imap.UIDSetNum(99), "other").Wait(); err != nil || len(data.SourceUIDs) > 0 {
		t.Errorf("COPY of nothing: %v", err)
	}
}
