package ui

import (
	"strings"
	"testing"
)

type row struct {
	name      string
	all, some int64
	octets    int64
}

func testTable() *Table[row] {
	return &Table[row]{
		Numbers: []Number[row]{
			{Title: "all", Of: func(r row) int64 { return r.all }, Format: Comma},
			{Title: "some", Of: func(r row) int64 { return r.some }, HideZero: true},
			{Title: "octets", Of: func(r row) int64 { return r.octets }, Format: Octets},
		},
		Texts: []Text[row]{{Title: "mailbox", Of: func(r row) string { return r.name }}},
	}
}

func TestTable(t *testing.T) {
	rows := []row{{"INBOX", 1234, 0, 2048}, {"Sent", 6, 0, 0}}
	for _, c := range []struct {
		name    string
		sum     *row
		remarks []string
		want    string
	}{
		{"a column of zeros is hidden", &row{all: 1240, octets: 2048}, nil, `
    all   octets  mailbox
  1,234  2.0 KiB  INBOX
      6      0 B  Sent
  1,240  2.0 KiB  in all
`},
		{"a column with a sum is shown", &row{all: 1240, some: 1}, nil, `
    all  some   octets  mailbox
  1,234     0  2.0 KiB  INBOX
      6     0      0 B  Sent
  1,240     1      0 B  in all
`},
		{"without a sum no column is hidden", nil, nil, `
    all  some   octets  mailbox
  1,234     0  2.0 KiB  INBOX
      6     0      0 B  Sent
`},
		{"a remark has no numbers", &row{}, []string{"(3 unchanged)"}, `
    all   octets  mailbox
  1,234  2.0 KiB  INBOX
      6      0 B  Sent
                  (3 unchanged)
      0      0 B  in all
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if err := testTable().Print(&out, rows, c.sum, c.remarks...); err != nil {
				t.Fatal(err)
			}
			if got, want := out.String(), c.want[1:]; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestTableOfTwoTexts(t *testing.T) {
	table := testTable()
	table.Numbers = table.Numbers[:1]
	table.Texts = append([]Text[row]{{Title: "account", Of: func(row) string { return "home" }}}, table.Texts...)
	var out strings.Builder
	if err := table.Print(&out, []row{{name: "INBOX", all: 7}}, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "  all    account  mailbox\n    7       home  INBOX\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
