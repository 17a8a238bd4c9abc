"""Pictures and documents in `data:` URLs: what guards opened is what providers read, and nothing else passes for it."""

import pytest

from extproc.translate.canon import File, Image
from extproc.translate.media import base64_of, document, picture
from gateway.errors import GatewayError


def test_a_picture_is_told_by_address_or_in_base64():
    assert picture("https://a.example/b.png", "low", "f") == Image(url="https://a.example/b.png", detail="low")
    assert picture("data:IMAGE/png;base64,AAAA", "", "f") == Image("image/png", "AAAA")


def test_a_document_has_its_type_and_name():
    assert document("data:application/PDF;base64,AAA=", "a.pdf", "f") == File("application/pdf", "AAA=", "a.pdf")


@pytest.mark.parametrize("url", ["data:text/html;base64,AAAA", "data:image/png,AAAA", "DATA:image/png;base64,AAAA"])
def test_what_is_no_picture_is_refused_by_its_field(url):
    with pytest.raises(GatewayError) as refused:
        picture(url, "", "input[].image_url")
    assert refused.value.param == "input[].image_url"


@pytest.mark.parametrize("data", ["AAAA", "data:image/png;base64,AAAA", "data:audio/wav;base64,AAAA", "data:,x"])
def test_what_is_no_document_is_refused(data):
    with pytest.raises(GatewayError):
        document(data, "", "f")


@pytest.mark.parametrize("data", ["A A", "AA-_", "AAAA\n", "=AAA", "AA===", "\u0661"])
def test_base64_has_one_spelling(data):
    with pytest.raises(GatewayError):
        base64_of(data, "f")
