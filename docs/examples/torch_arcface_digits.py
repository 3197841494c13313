"""Embeddings of scikit-learn's digits, trained in torch with ArcFace; a digit is that of the nearest class centre."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from symloss.adapters import torch as st

EMBEDDED, STEPS = 8, 150


def main() -> dict[str, float]:
    """Train with and without a margin; return accuracies on rows kept aside, and the mean angle to the own centre."""
    x, label = load_digits(return_X_y=True)
    parts = train_test_split(x / 16.0, label, test_size=0.3, random_state=0)
    x_train, x_test = (torch.as_tensor(part, dtype=torch.float32) for part in parts[:2])
    label_train, label_test = map(torch.as_tensor, parts[2:])
    found = {}
    for name, margin in {"margin": 0.5, "no margin": 0.0}.items():
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, EMBEDDED))
        centres = torch.nn.Parameter(torch.randn(10, EMBEDDED))
        loss = st.ArcFace(scale=16.0, margin=margin)
        descent = torch.optim.Adam([*network.parameters(), centres], lr=0.01)
        for _ in range(STEPS):
            descent.zero_grad()
            loss(network(x_train), centres, label_train).backward()
            descent.step()
        with torch.no_grad():
            cosines = torch.nn.functional.normalize(network(x_test)) @ torch.nn.functional.normalize(centres).T
        found[name] = float((cosines.argmax(1) == label_test).float().mean())
        found[f"{name}, angle"] = float(
            torch.rad2deg(cosines.gather(1, label_test[:, None]).clamp(-1, 1).acos()).mean()
        )
    return found


if __name__ == "__main__":
    for name, number in main().items():
        print(f"{name}: {number:.3f}")
