"""How often a KEK may encrypt, with real processes that are killed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from keystead.v1.content_key_service_pb2 import CreateKekRequest, GenerateContentKeysRequest, GetKekRequest

from tests.support.service import running

pytestmark = pytest.mark.slow

LIMIT = 1000


def test_no_version_of_a_kek_encrypts_more_often_than_it_may_whoever_is_killed(tmp_path):
    with running(tmp_path, life__kek_encryptions=str(LIMIT), server__workers="2") as service:
        org = service.new_organization()
        kek = org.user.content_keys.CreateKek(CreateKekRequest(parent=org.name)).name

        def call(_: int) -> list[bytes]:
            request = GenerateContentKeysRequest(kek=kek, count=170)
            try:
                made = org.user.content_keys.GenerateContentKeys(request, timeout=30, wait_for_ready=True)
            except grpc.RpcError as error:
                faults.append(error.code())
                return []
            return [key.wrapped for key in made.content_keys]

        wrapped: list[bytes] = []
        faults: list[grpc.StatusCode] = []
        with ThreadPoolExecutor(4) as threads:
            for _ in range(20):
                if len(wrapped) > 3 * LIMIT:
                    break
                answers = threads.map(call, range(8))
                service.kill_one("worker")
                wrapped += [key for answer in answers for key in answer]
        assert set(faults) <= {grpc.StatusCode.UNAVAILABLE}
        counted = Counter(key[1:17] for key in wrapped)
        assert len(counted) >= len(wrapped) / LIMIT > 2
        assert max(counted.values()) <= LIMIT
        shown = org.user.content_keys.GetKek(GetKekRequest(name=kek))
        assert shown.version >= len(counted)
