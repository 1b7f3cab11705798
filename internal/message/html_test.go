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
		{"<ul><li>one<li><p>two</ul>end", "- one\n\n- two\n\nend"},
		{"<table><tr><td>a</td><td>b</td></tr><tr><th>c", "a  b\nc"},
		{"x<blockquote>q<blockquote>r</blockquote></blockquote>y", "x\n\n> q\n>\n> > r\n\ny"},
		{"<pre>  a\n\n\n b</pre>c", "  a\n\n\n b\n\nc"},
		{"a<hr>b", "a\n----\nb"},
		{"<!-- c --><!DOCTYPE x><![if x]>a<?php b ?>", "a"},
		{"</p></pre></blockquote></a></li>a", "a"},
		{"<textarea>a  b</textarea><iframe>c</iframe><noframes>d</noframes>", "a  b"},
		{"a < b", "a < b"},
		{"<ol start=9><li>a<li>b<ul><li>c<ol><li>d</ol><li>e</ul><li>f</ol>g", "9. a\n10. b\n  - c\n    1. d\n  - e\n11. f\ng"},
		{"<table><tr><th>Item<th>Price<tr><td>日本<td>1<tr><td><p>a long one</p></td><td><p>22</p></td></table>x", "Item        Price\n日本        1\na long one  22\nx"},
		{"<table><tr><td>one<br>two</td><td>three</td></tr><tr><td>a<td>b</table>", "one\ntwo\nthree\na  b"},
		{"<table><tr><td><table><tr><td>a<td>b</table><td>c</table>", "a  b  c"},
		{"<table><tr><td>a</div></table></td><td>b", "a\nb"},
		{"<table><tr><td>" + strings.Repeat("wide ", 30) + "<td>b<tr><td>c<td>d</table>", strings.Repeat("wide ", 29) + "wide  b\nc  d"},
		{`a<div style="display:none">b<div>c</div></div>d`, "ad"},
		{`a<span style="DISPLAY : none !important;x">b<span>c</span>d</span>e<p hidden>f<p>g`, "ae\n\ng"},
		{`a<p hidden style="display:block">b</p><p hidden="until-found">c</p><p hidden=false>d</p>e`, "a\n\nb\n\ne"},
		{`<p style="display:none;display:block">a</p><p style="display:block!important;display:none">b</p><p style="display:none;display:nonsense">c</p><p style="display:none" style="display:block">d</p>`, "a\n\nb"},
		{`<noscript>a<b>b</b>&amp;<p hidden>c</p></noscript>d<noscript><style>e</noscript>f</style>g`, "ab&dg"},
		{`<div style="visibility:hidden">a<i style="visibility:visible">b</i></div><b style="opacity:0.0">c</b>`, "b"},
		{`<td style="font-size:0px">a<div style="font-size:13px">b</div>c</td><p style="font-size:1px">d`, "b"},
		{`<div style="max-height:0;overflow:hidden">a</div><div style="max-height:0">b</div><p style="display:none">c<div>d</div>`, "b\nd"},
		{`<a href="https://click.example/` + strings.Repeat("x", 90) + `">a</a> <a href="https://click.example/` + strings.Repeat("x", 90) + `">b</a>`,
			"a <https://click.example…> [1] b <https://click.example…> [1]\n\nLinks:\n[1] https://click.example/" + strings.Repeat("x", 90)},
		{"<a href=\"https://\u0430pple.com/\">apple.com</a>", "apple.com <https://\u0430pple.com/> (xn--pple-43d.com)"},
		{`<a href="https://bank.example@evil.example/">bank</a>`, "bank <https://bank.example@evil.example/>"},
		{`<base href="https://evil.example/a/"><a href="b">x</a><a href="//c.example">y</a>`, "x <https://evil.example/a/b>y <https://c.example>"},
		{`<form action="http://evil.example/"><input name=u value=me><input type=password><input type=hidden value=h><input type=submit value="Log in"></form>`,
			"[form to <http://evil.example/>] [me_] [password: ] [Log in]"},
		{`<map><area href="https://evil.example" alt="here"></map>`, "[here] <https://evil.example>"},
		{"<table><tr><td></td></tr><tr><td>a</td></tr><tr><td><td>b<tr><td><td>c</table>", "a\n  b\n  c"},
		{"<table><tr><td><td><td>a<td>b</table>", "a  b"},
		{"a\x1fb<pre>c\x1fd</pre>", "ab\n\ncd"},
		{strings.Repeat("<div>", 300) + "a" + strings.Repeat("</div>", 300) + "b", "a\nb"},
		{"a<script>never ends", "a"},
		{"<b", ""},
	} {
		if got, _ := renderHTML(c.in, 1000); got != c.want {
			t.Errorf("renderHTML(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// Text that mail programs hide is omitted and counted.
func TestRenderHTMLCountsHiddenText(t *testing.T) {
	got, hidden := renderHTML(`<p style="display:none">pre header &zwnj;&nbsp;</p>seen<script>not counted</script>`, 1000)
	if got != "seen" || hidden != 9 {
		t.Errorf("%q, and %d characters hidden", got, hidden)
	}
}

func TestRenderHTMLLimit(t *testing.T) {
	if got, _ := renderHTML(strings.Repeat("<p>12345", 1000), 100); len(got) < 100 || len(got) > 110 {
		t.Errorf("%d octets", len(got))
	}
	long := "http://" + strings.Repeat("x", 3*maxURL)
	if got, _ := renderHTML(`<a href="`+long+`">a</a>`, 10_000); len(got) > maxURL+100 {
		t.Errorf("%d octets of a link", len(got))
	}
}

func FuzzRenderHTML(f *testing.F) {
	for _, s := range []string{"<p>a<br>b", `<a href="x">y</a>`, "<pre>\n a", "<blockquote><li>x", "<script></script>&amp;<!--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, _ := renderHTML(s, 1<<20)
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
