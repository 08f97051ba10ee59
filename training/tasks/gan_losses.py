"""What a GAN minimises: the totals of its two networks, from what they return."""

import inspect

import tensorflow as tf

from training.tasks import network_inputs, steps


class GANLosses:
    """An adversarial loss and weighted terms for each network, on augmented images if asked for.

    generator total = adversarial_weight * adversarial + sum weight * term + regularization, and the
    discriminator's likewise with weight 1; regularization is the sum of the Keras `losses` of the
    network.

    Args:
        adversarial: object with `discriminator(real_logits, fake_logits)` and
            `generator(fake_logits)`.
        generator_terms: {name: term}; a term has a `weight` and returns a scalar, see losses/, or
            a dict of "loss" and further scalars to log. A null term is left out. Default none.
        discriminator_terms: the same for the discriminator.
        augment: callable (images, seed) -> images, applied to all that the discriminator sees, with
            the same draws for the real and the fake batch; or null for none.
        adversarial_weight: float, in the generator's total. Default 1.0.
        adversarial_start_step: int; before it the generator trains on those of its terms that read
            nothing of the discriminator, and the discriminator rests. Default 0: from the start.

    Both totals come with the metrics to log: the unweighted terms under "g/" or "d/", their total,
    and the mean logits of real and fake images.

    Raises:
        ValueError: an augmentation that cannot be called; a late start without a term that the
            generator could train on before.
    """

    def __init__(
        self,
        adversarial,
        *,
        generator_terms: dict | None = None,
        discriminator_terms: dict | None = None,
        augment=None,
        adversarial_weight: float = 1.0,
        adversarial_start_step: int = 0,
    ):
        self.adversarial = adversarial
        self.generator_terms = _without_null(generator_terms)
        self.discriminator_terms = _without_null(discriminator_terms)
        self.augment = augment
        self.adversarial_weight = adversarial_weight
        self.adversarial_start_step = adversarial_start_step
        if adversarial_start_step < 0 or (adversarial_start_step and not self._warm_up_terms()):
            raise ValueError(
                "adversarial_start_step must be at least 0, and before it the generator needs a "
                "term that reads nothing of the discriminator, such as a reconstruction. Received: "
                f"adversarial_start_step={adversarial_start_step}, generator_terms="
                f"{sorted(self.generator_terms)}. Add a term, or set adversarial_start_step=0."
            )
        if augment is not None and not callable(augment):
            raise ValueError(
                "augment must be an augmentation or null. Received: "
                f"augment={augment!r}. For instance "
                "{_target_: losses.differentiable_augmentation.DifferentiableAugmentation}."
            )

    @property
    def compares_features(self) -> bool:
        """Whether a generator term reads what the discriminator makes of the real image."""
        return any(_reads(term, "real") for term in self.generator_terms.values())

    def _warm_up_terms(self):
        return {
            name: term
            for name, term in self.generator_terms.items()
            if not (_reads(term, "real") or _reads(term, "fake"))
        }

    def augmented(self, image, seed):
        """The images as the discriminator shall see them; `seed` int32 [2] of the step."""
        return network_inputs.augmented(self.augment, image, seed)

    def warm_up_total(self, generator, *, batch, generated):
        """The total of a generator's pass without a discriminator, and its metrics."""
        metrics, total = {}, 0.0
        for name, term in self._warm_up_terms().items():
            value = _logged(metrics, "g", name, term(batch=batch, generated=generated))
            total += term.weight * value
        return steps.add_regularization(total, generator, metrics, "g"), metrics

    def generator_total(self, generator, *, batch, generated, real, fake):
        """The total of a generator's pass and its metrics.

        Args:
            generator: the network, for its regularization.
            batch: what it was given.
            generated: its outputs.
            real, fake: outputs of the discriminator; `real` None unless `compares_features`.
        """
        adversarial = self.adversarial.generator(fake["logits"])
        metrics, total = {"g/adversarial": adversarial}, self.adversarial_weight * adversarial
        for name, term in self.generator_terms.items():
            value = term(batch=batch, generated=generated, real=real, fake=fake)
            value = _logged(metrics, "g", name, value)
            total += term.weight * value
        return steps.add_regularization(total, generator, metrics, "g"), metrics

    def discriminator_total(self, discriminator, *, logits, real_inputs, fake_inputs, seed):
        """The total of a discriminator's pass and its metrics.

        Args:
            discriminator: the network, for its regularization and for terms that call it.
            logits: its logits of real and fake images in one batch, the real ones first.
            real_inputs, fake_inputs: what it was given, image included.
            seed: int32 [2] of the step.
        """

        def critic(image):
            return discriminator(real_inputs | {"image": image}, training=True)

        real, fake = zip(*(tf.split(scale, 2) for scale in logits), strict=True)
        total = self.adversarial.discriminator(list(real), list(fake))
        metrics = {
            "d/adversarial": total,
            "d/logit_real": _mean_over_scales(real),
            "d/logit_fake": _mean_over_scales(fake),
        }
        for name, term in self.discriminator_terms.items():
            value = term(
                critic=critic,
                real_image=real_inputs["image"],
                fake_image=fake_inputs["image"],
                seed=steps.replica_seed(seed, network_inputs.TERMS),
                hole=real_inputs.get("hole"),
            )
            value = _logged(metrics, "d", name, value)
            total += term.weight * value
        return steps.add_regularization(total, discriminator, metrics, "d"), metrics


def _without_null(terms):
    return {name: term for name, term in (terms or {}).items() if term is not None}


def _reads(term, name):
    return name in inspect.signature(term).parameters


def _logged(metrics, owner, name, value):
    """The loss that a term returns, which is put into the metrics with what comes beside it."""
    beside = dict(value) if isinstance(value, dict) else {"loss": value}
    metrics[f"{owner}/{name}"] = loss = beside.pop("loss")
    metrics |= {f"{owner}/{key}": number for key, number in beside.items()}
    return loss


def _mean_over_scales(logits):
    return tf.add_n([tf.reduce_mean(tf.cast(scale, tf.float32)) for scale in logits]) / len(logits)
