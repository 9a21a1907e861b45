import pytest

from server.domain.errors import InvalidFieldError
from server.use_cases.paging import PageRequest, cut


def test_a_list_is_walked_page_by_page():
    items = [f"id-{n:03}" for n in range(25)]
    seen, token, pages = [], "", 0
    while True:
        request = PageRequest(10, token)
        start = items.index(request.last_id) + 1 if request.last_id else 0
        page = cut(items[start : start + request.limit + 1], request.limit, str)
        seen += page.items
        pages += 1
        token = page.next_token
        if not token:
            break
    assert (seen, pages) == (items, 3)


def test_a_full_last_page_has_no_next_one():
    assert cut(["a", "b"], 2, str).next_token == ""
    assert cut([], 2, str).next_token == ""


def test_no_size_means_a_hundred():
    assert PageRequest(0, "").limit == 100


@pytest.mark.parametrize("size", [-1, 1001])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(InvalidFieldError):
        _ = PageRequest(size, "").limit


@pytest.mark.parametrize("token", ["x", "%%%", "AAAA", "é", "JyBPUiAxPTE="])
def test_a_token_that_is_none_of_ours_is_refused(token):
    with pytest.raises(InvalidFieldError):
        _ = PageRequest(0, token).last_id
