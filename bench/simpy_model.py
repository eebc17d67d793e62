"""The simulator's benchmark as one writes it in SimPy: Poisson arrivals at four fifths of what the
backends can do, one exponential service at a time at each, the less loaded of two drawn backends.
It prints requests a second and the mean latency, and must not know the lab.
"""

import random
import sys
import time

import simpy

MEAN = 0.010
LOAD = 0.8


def play(backends, requests, seed=1):
    env, draw = simpy.Environment(), random.Random(seed)
    servers = [simpy.Resource(env, capacity=1) for _ in range(backends)]
    in_flight = [0] * backends
    latencies = []

    def request():
        began = env.now
        one, other = draw.sample(range(backends), 2)
        backend = other if in_flight[other] < in_flight[one] else one
        in_flight[backend] += 1
        with servers[backend].request() as turn:
            yield turn
            yield env.timeout(draw.expovariate(1 / MEAN))
        in_flight[backend] -= 1
        latencies.append(env.now - began)

    def arrivals():
        for _ in range(requests):
            yield env.timeout(draw.expovariate(LOAD * backends / MEAN))
            env.process(request())

    env.process(arrivals())
    env.run()
    return latencies


if __name__ == "__main__":
    backends, requests = int(sys.argv[1]), int(sys.argv[2])
    began = time.perf_counter()
    latencies = play(backends, requests)
    seconds = time.perf_counter() - began
    mean_ms = 1e3 * sum(latencies) / len(latencies)
    print(f"{len(latencies) / seconds:.0f} requests/s, mean latency {mean_ms:.6f} ms")
