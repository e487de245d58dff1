"""GPTCache on question pairs, run by the Python that has it (it wants other versions than ours): see bench/cache.py.

    PEER/bin/python bench/cache_gptcache.py PAIRS.json THRESHOLD...

PAIRS.json: [[vector of the kept question, vector of the one asked], ...]. For each pair a cache of its own keeps the first
and is asked the second, with its similarity evaluation by search distance. Prints JSON: for each
threshold the list of hits, 1 or 0.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.api import get, put
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation


def main() -> None:
    pairs, thresholds = json.loads(Path(sys.argv[1]).read_text()), [float(one) for one in sys.argv[2:]]
    vectors = {}
    hits = [[] for _ in thresholds]
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache()
        for number, (kept, asked) in enumerate(pairs):
            vectors["kept"], vectors["asked"] = (np.array(one, "float32") for one in (kept, asked))
            place = Path(folder) / str(number)
            place.mkdir()
            cache.init(
                pre_embedding_func=get_prompt,
                embedding_func=lambda text, **_: vectors[text],
                data_manager=get_data_manager(
                    CacheBase("sqlite", sql_url="sqlite://"),
                    VectorBase("faiss", dimension=len(kept), index_path=str(place / "f.index")),
                ),
                similarity_evaluation=SearchDistanceEvaluation(),
                config=Config(),
            )
            put("kept", "answer", cache_obj=cache)
            for threshold, found in zip(thresholds, hits):  # noqa: B905  the peer's Python may be older
                cache.config = Config(similarity_threshold=threshold)
                found.append(int(get("asked", cache_obj=cache) is not None))
    print(json.dumps(hits))


if __name__ == "__main__":
    main()
