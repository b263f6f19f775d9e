"""Answers to a 401, against the examples of the standards."""

from drivers.http_auth import authorization

RFC_7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC_7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
MD5 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5,'
    f' nonce="{RFC_7616_NONCE}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
SHA_256 = MD5.replace("algorithm=MD5", "algorithm=SHA-256")


def answer(*challenges: str) -> str | None:
    return authorization(challenges, "Mufasa", "Circle of Life", "GET", "/dir/index.html", RFC_7616_CNONCE)


def test_digest_with_md5_answers_as_rfc_7616_section_3_9_1_does() -> None:
    assert answer(MD5) == (
        'Digest username="Mufasa", realm="http-auth@example.org",'
        ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html",'
        ' response="8ca523f5e9506fed4657c9700eebdbec", qop=auth, nc=00000001,'
        ' cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", algorithm=MD5,'
        ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )


def test_digest_with_sha_256_answers_as_rfc_7616_section_3_9_1_does_and_goes_before_md5_and_basic() -> None:
    for challenges in ([SHA_256], [MD5, SHA_256, 'Basic realm="x"'], ['Basic realm="x"', SHA_256, MD5]):
        said = answer(*challenges)
        assert said is not None
        assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in said


def test_digest_without_qop_answers_as_rfc_2069_does() -> None:
    """The erratum of RFC 2069: 1949323746fe6a43ef61f9606e7febea is the right answer to its example."""
    said = authorization(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
         ' opaque="5ccc069c403ebaf9f0171e9517f40e41"'],
        "Mufasa", "CircleOfLife", "GET", "/dir/index.html", "unused",
    )  # fmt: skip
    assert said is not None
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in said
    assert "qop" not in said


def test_digest_with_qop_answers_as_rfc_2617_section_3_5_does() -> None:
    said = authorization(
        ['Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'],
        "Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b",
    )  # fmt: skip
    assert said is not None
    assert 'response="6629fae49393a05397450978507c4ef1"' in said


def test_basic_answers_as_rfc_7617_section_2_does() -> None:
    said = authorization(['Basic realm="WallyWorld"'], "Aladdin", "open sesame", "GET", "/", "unused")
    assert said == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_what_nobody_knows_has_no_answer() -> None:
    unknown = ["Bearer", "", "Digest", 'Digest realm="x"', MD5.replace("MD5", "MD6"), MD5.replace("auth,", "none,")]
    assert [answer(challenge) for challenge in unknown[:5]] == [None] * 5
    assert answer(MD5.replace('"auth, auth-int"', '"auth-int"')) is None
    assert answer() is None


def test_a_field_without_a_value_is_passed_over() -> None:
    """Found by the fuzzer: a camera that says `algorithm=` ended the process that looks at it."""
    assert (
        answer('Digest realm="x", nonce="1f", algorithm=, opaque') == answer('Digest realm="x", nonce="1f"') is not None
    )
