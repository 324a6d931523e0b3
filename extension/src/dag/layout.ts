// Layered placement of a graph: the twin of `szal_nb/widget/layout.py`, which says how it works. Pure.
// Both must give the same numbers (tests/contract/layout.json), so that a live picture and a saved one agree.

const SWEEPS = 8;
const SETTLE_PASSES = 6;
const BEND_SHARE = 0.35;

export interface Bend {
  rank: number;
  across: number;
}

export interface Placement {
  ranks: number[];
  across: number[];
  bends: Bend[][];
  depth: number;
  breadth: number;
}

export type Pair = readonly [source: number, target: number];

export function place(count: number, edges: readonly Pair[]): Placement {
  const ranks = rankNodes(count, edges);
  const depth = ranks.reduce((most, rank) => Math.max(most, rank), -1) + 1;
  const layers: number[][] = Array.from({ length: depth }, () => []);
  for (let node = 0; node < count; node++) layers[ranks[node]!]!.push(node);
  const itemRanks = ranks.slice();
  const above: number[][] = Array.from({ length: count }, () => []);
  const below: number[][] = Array.from({ length: count }, () => []);
  const chains: number[][] = [];
  for (const [source, target] of edges) {
    const chain: number[] = [];
    if (ranks[source]! < ranks[target]!) {
      let last = source;
      for (let rank = ranks[source]! + 1; rank < ranks[target]!; rank++) {
        const bend = itemRanks.length;
        itemRanks.push(rank);
        above.push([last]);
        below.push([]);
        below[last]!.push(bend);
        layers[rank]!.push(bend);
        chain.push(bend);
        last = bend;
      }
      below[last]!.push(target);
      above[target]!.push(last);
    }
    chains.push(chain);
  }
  orderLayers(layers, above, below);
  let across = settle(layers, above, below, count);
  const low = across.reduce((least, position) => Math.min(least, position), Infinity);
  across = across.map((position) => Math.floor((position - low) * 1000 + 0.5) / 1000);
  return {
    ranks,
    across: across.slice(0, count),
    bends: chains.map((chain) => chain.map((bend) => ({ rank: itemRanks[bend]!, across: across[bend]! }))),
    depth,
    breadth: across.reduce((most, position) => Math.max(most, position), 0),
  };
}

function rankNodes(count: number, edges: readonly Pair[]): number[] {
  const targets: number[][] = Array.from({ length: count }, () => []);
  const missing = new Array<number>(count).fill(0);
  for (const [source, target] of edges) {
    targets[source]!.push(target);
    missing[target]! += 1;
  }
  const isSource = missing.map((number) => number === 0);
  const ranks = new Array<number>(count).fill(0);
  const ready: number[] = [];
  for (let node = 0; node < count; node++) if (isSource[node]) ready.push(node);
  for (let next = 0; next < ready.length; next++) {
    const node = ready[next]!;
    for (const target of targets[node]!) {
      ranks[target] = Math.max(ranks[target]!, ranks[node]! + 1);
      if (--missing[target]! === 0) ready.push(target);
    }
  }
  for (let node = 0; node < count; node++) {
    if (!isSource[node] || !targets[node]!.length) continue;
    let nearest = Infinity;
    for (const target of targets[node]!) nearest = Math.min(nearest, ranks[target]!);
    ranks[node] = Math.max(0, nearest - 1);
  }
  return ranks;
}

function orderLayers(layers: number[][], above: number[][], below: number[][]): void {
  const places = new Array<number>(above.length).fill(0);
  const number = (layer: number[]) => layer.forEach((item, at) => (places[item] = at));
  layers.forEach(number);
  let best = layers.map((layer) => layer.slice());
  let fewest = crossings(layers, below, places);
  const keys = new Array<number>(above.length).fill(0);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep++) {
    const downwards = sweep % 2 === 0;
    const near = downwards ? above : below;
    for (const layer of downwards ? layers : layers.slice().reverse()) {
      for (const item of layer) {
        const around = near[item]!;
        keys[item] = around.length ? sumOf(around, places) / around.length : places[item]!;
      }
      layer.sort((one, other) => keys[one]! - keys[other]!);
      number(layer);
    }
    const now = crossings(layers, below, places);
    if (now < fewest) {
      fewest = now;
      best = layers.map((layer) => layer.slice());
    }
  }
  best.forEach((kept, rank) => (layers[rank] = kept));
}

function sumOf(items: readonly number[], amounts: readonly number[]): number {
  let sum = 0;
  for (const item of items) sum += amounts[item]!;
  return sum;
}

export function crossings(layers: readonly number[][], below: readonly number[][], places: readonly number[]): number {
  let total = 0;
  for (let rank = 0; rank + 1 < layers.length; rank++) {
    const tree = new Array<number>(layers[rank + 1]!.length + 1).fill(0);
    let seen = 0;
    for (const item of layers[rank]!) {
      const ends = below[item]!.map((target) => places[target]!);
      for (const end of ends) {
        let smaller = 0;
        for (let slot = end + 1; slot > 0; slot -= slot & -slot) smaller += tree[slot]!;
        total += seen - smaller;
      }
      for (const end of ends) for (let slot = end + 1; slot < tree.length; slot += slot & -slot) tree[slot]! += 1;
      seen += ends.length;
    }
  }
  return total;
}

function settle(
  layers: readonly number[][],
  above: readonly number[][],
  below: readonly number[][],
  count: number,
): number[] {
  const across = new Array<number>(above.length).fill(0);
  const sizes = across.map((_, item) => (item < count ? 1 : BEND_SHARE));
  for (const layer of layers) {
    let at = 0;
    for (const item of layer) {
      at += sizes[item]! / 2;
      across[item] = at;
      at += sizes[item]! / 2;
    }
    for (const item of layer) across[item]! -= at / 2;
  }
  for (let pass = 0; pass < 2 * SETTLE_PASSES; pass++) {
    const downwards = pass % 2 === 0;
    const near = downwards ? above : below;
    const far = downwards ? below : above;
    for (const layer of downwards ? layers : layers.slice().reverse()) {
      const wanted = layer.map((item) => {
        const around = near[item]!.length ? near[item]! : far[item]!;
        return around.length ? sumOf(around, across) / around.length : across[item]!;
      });
      spread(
        wanted,
        layer.map((item) => sizes[item]!),
      ).forEach((position, at) => (across[layer[at]!] = position));
    }
  }
  return across;
}

function spread(wanted: readonly number[], sizes: readonly number[]): number[] {
  const offsets: number[] = [];
  let offset = 0;
  sizes.forEach((size, at) => {
    if (at) offset += (sizes[at - 1]! + size) / 2;
    offsets.push(offset);
  });
  const sums: number[] = [];
  const members: number[] = [];
  wanted.forEach((position, at) => {
    sums.push(position - offsets[at]!);
    members.push(1);
    while (sums.length > 1 && sums.at(-2)! / members.at(-2)! >= sums.at(-1)! / members.at(-1)!) {
      const total = sums.pop()!;
      const number = members.pop()!;
      sums[sums.length - 1]! += total;
      members[members.length - 1]! += number;
    }
  });
  const result: number[] = [];
  sums.forEach((total, group) => {
    const mean = total / members[group]!;
    for (let number = 0; number < members[group]!; number++) result.push(mean + offsets[result.length]!);
  });
  return result;
}
