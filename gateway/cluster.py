"""Lua scripts run on a cluster of Valkeys: a pipe to each node, and slots followed where they move. Knows no script.

The library's cluster client drops connections of others when a slot moves, and gathers nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError

from gateway import aio
from gateway.script import Pipe, Script, ScriptError, packed

Node = tuple[str, int]
_AGAIN_S: Final = 0.02  # half of a slot's keys are here, half there: a slot of ours moves within milliseconds
_CONNECTIONS: Final = 2  # to a node: the pipe's, and one to ask for the slots


class Cluster:
    """See the module and `script.Runner`. For one event loop."""

    def __init__(self, nodes: Sequence[Node], client: Callable[[str, int], Redis], deadline_s: float) -> None:
        """`nodes`: any of them, the others are learned. `client` makes one for a node. Connects when first used."""
        self._known = list(nodes)
        self._client = client
        self._deadline_s = deadline_s
        self._clients: dict[Node, Redis] = {}
        self._pipes: dict[Node, Pipe] = {}
        self._slots: dict[int, Node] = {}
        self._learning: asyncio.Task[None] | None = None

    def start(self, script: Script, keys: Sequence[str], arguments: Sequence[bytes]) -> "asyncio.Future[object]":
        """See `Runner`."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        aio.spawn(self._run(answer, script, key_slot(keys[0].encode()), packed(keys, arguments)), "script-routed")
        return answer

    async def aclose(self) -> None:
        """End all connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _run(self, answer: "asyncio.Future[object]", script: Script, slot: int, words: tuple[int, bytes]) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                found = await self._follow(script, slot, words)
        except (ScriptError, TimeoutError) as error:
            if not answer.done():
                answer.set_exception(error if isinstance(error, ScriptError) else ScriptError("TimeoutError"))
        except BaseException:
            answer.cancel()
            raise
        else:
            if not answer.done():
                answer.set_result(found)

    async def _follow(self, script: Script, slot: int, words: tuple[int, bytes]) -> object:
        """Until a node answers; the deadline bounds how often."""
        asking: Node | None = None
        while True:
            node = asking or self._slots.get(slot)
            if node is None:
                await self._learn()
                node = self._slots.get(slot)
            if node is None:
                raise ScriptError("a slot that no node has")
            try:
                return await self._pipe(node).send(script, *words, asking=asking is not None)
            except ScriptError as error:
                asking = None
                match error.refused:
                    case MovedError() as moved:  # an AskError too, so it comes first
                        self._slots[slot] = (moved.host or node[0], moved.port)
                    case AskError() as ask:
                        asking = (ask.host or node[0], ask.port)
                    case TryAgainError() | ClusterDownError():
                        await asyncio.sleep(_AGAIN_S)
                    case None:
                        # The node is away; perhaps another one has its slots by now. Whoever asked may ask again.
                        self._slots.pop(slot, None)
                        raise
                    case _:
                        raise

    def _pipe(self, node: Node) -> Pipe:
        pipe = self._pipes.get(node)
        if pipe is None:
            pipe = self._pipes[node] = Pipe(self._node(node), deadline_s=self._deadline_s)
        return pipe

    def _node(self, node: Node) -> Redis:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = self._client(*node)
        return client

    async def _learn(self) -> None:
        if self._learning is None:
            self._learning = aio.spawn(self._ask_for_slots(), "cluster-slots")
        # Shielded: a caller that leaves must not take the answer from the others that wait for it.
        await asyncio.shield(self._learning)

    async def _ask_for_slots(self) -> None:
        try:
            for node in [*self._known]:
                try:
                    async with asyncio.timeout(self._deadline_s / 2):
                        told: Any = await self._node(node).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                except (RedisError, OSError, TimeoutError):
                    continue
                self._take(node, told)
                return
        finally:
            self._learning = None

    def _take(self, asked: Node, told: Any) -> None:
        slots: dict[int, Node] = {}
        for first, last, (host, port, *_), *_ in told:
            name = host.decode() if isinstance(host, bytes) else host
            owner = (name or asked[0], int(port))
            slots.update(dict.fromkeys(range(first, last + 1), owner))
        self._slots = slots
        self._known = [*dict.fromkeys([*slots.values(), *self._known])]
