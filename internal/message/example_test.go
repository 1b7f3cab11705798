package message_test

import (
	"fmt"
	"os"
	"strings"

	"archiverd/internal/message"
)

const mail = "From: =?utf-8?q?J=C3=BCrgen?= <juergen@example.org>\r\n" +
	"Subject: Minutes\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n" +
	"\r\n" +
	"--b\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Content-Transfer-Encoding: quoted-printable\r\n" +
	"\r\n" +
	"Sch=C3=B6ne Gr=C3=BC=C3=9Fe\r\n" +
	"--b\r\n" +
	"Content-Type: text/csv; name=votes.csv\r\n" +
	"Content-Disposition: attachment; filename=votes.csv\r\n" +
	"Content-Transfer-Encoding: base64\r\n" +
	"\r\n" +
	"eWVzLDcKbm8sMgo=\r\n" +
	"--b--\r\n"

// Fields and text are decoded; attachments are listed.
func ExampleRead() {
	m, err := message.Read(strings.NewReader(mail), message.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Get("From"))
	fmt.Println(strings.TrimSpace(m.Text))
	for _, p := range m.Parts {
		fmt.Printf("%d %s %q\n", p.Number, p.Type, p.Name)
	}
	// Output:
	// Jürgen <juergen@example.org>
	// Schöne Grüße
	// 1 text/plain ""
	// 2 text/csv "votes.csv"
}

// A part's octets are written as they were before they were encoded.
func ExampleWritePart() {
	if err := message.WritePart(os.Stdout, strings.NewReader(mail), 2, message.Options{}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// yes,7
	// no,2
}
