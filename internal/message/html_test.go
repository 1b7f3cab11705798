package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRenderHTML(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"<html><head><title>T</title><style>p{}</style></head><body><p>one</p><p>two<script>x()</script></p></body>", "one\n\ntwo"},
		{"<div>a<div>b</div></div>c", "a\nb\nc"},
		{" a \n\t b<b> c</b>d ", "a b cd"},
		{"a<br>b<br><br><br>c", "a\nb\n\nc"},
		{"&lt;b&gt; &uuml;&nbsp;&#8364; &unknown;", "<b> ü € &unknown;"},
		{"pre&shy;header&zwnj;&nbsp;&#8199;&#847;&zwnj; end", "preheader end"},
		{`<a href="https://example.com/x">here</a>.`, "here <https://example.com/x>."},
		{`<a href="https://example.com/">https://example.com</a>`, "https://example.com"},
		{`<a href="mailto:a@example.com">a@example.com</a>`, "a@example.com"},
		{`<a href="https://evil.example">https://bank.example</a>`, "https://bank.example <https://evil.example>"},
		{`<a href="#top">top</a><a name=x>y</a>`, "topy"},
		{`<a href="http://a"><img src=x alt="Logo "></a>`, "[Logo] <http://a>"},
		{`<a href="http://a"><img src=x></a> b`, "<http://a> b"},
		{`<a href="java` + "\n" + `script:x">y`, "y <javascript:x>"},
		{`<a href=//x>one<a href=//y>two`, "one <//x>two <//y>"},
		{"<ul><li>one<li><p>two</ul>end", "- one\n\n- two\nend"},
		{"<table><tr><td>a</td><td>b</td></tr><tr><th>c", "a b\nc"},
		{"x<blockquote>q<blockquote>r</blockquote></blockquote>y", "x\n\n> q\n\n> > r\n\ny"},
		{"<pre>  a\n\n\n b</pre>c", "  a\n\n\n b\n\nc"},
		{"a<hr>b", "a\n----\nb"},
		{"<!-- c --><!DOCTYPE x><![if x]>a<?php b ?>", "a"},
		{"</p></pre></blockquote></a></li>a", "a"},
		{"<textarea>a  b</textarea><iframe>c</iframe><noframes>d</noframes>", "a  b"},
		{"a < b", "a < b"},
		{"a<script>never ends", "a"},
		{"<b", ""},
	} {
		if got := renderHTML(c.in, 1000); got != c.want {
			t.Errorf("renderHTML(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestRenderHTMLKeepsToItsLimit(t *testing.T) {
	if got := renderHTML(strings.Repeat("<p>12345", 1000), 100); len(got) < 100 || len(got) > 110 {
		t.Errorf("%d octets", len(got))
	}
	long := "http://" + strings.Repeat("x", 3*maxURL)
	if got := renderHTML(`<a href="`+long+`">a</a>`, 10_000); len(got) > maxURL+20 {
		t.Errorf("%d octets of a link", len(got))
	}
}

func FuzzRenderHTML(f *testing.F) {
	for _, s := range []string{"<p>a<br>b", `<a href="x">y</a>`, "<pre>\n a", "<blockquote><li>x", "<script></script>&amp;<!--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := renderHTML(s, 1<<20)
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("renderHTML(%q) = %q is not UTF-8", s, got)
		}
		if n := 20*len(s) + 20; len(got) > n {
			t.Errorf("renderHTML(%q) has %d octets", s, len(got))
		}
		if strings.HasPrefix(got, "\n") {
			t.Errorf("renderHTML(%q) = %q begins with a line end", s, got)
		}
	})
}
