"""Words that name no class of a usual data set of pictures: what FOCoOp's other prompts say."""

from __future__ import annotations

WORDS = tuple(
    """
absence abstract accuracy advice afternoon agreement algebra alphabet ambition ancient anger answer
argument arrival attempt audible average belief bitter blame boredom brief budget calm cause century
chance charity cheap choice clever comedy comfort command complaint concept confidence consent
courage credit crisis curious custom danger debate debt decade decision defeat delay demand denial
dialect difficult discount dispute distance doubt dream duty eager echo economy effort election
empathy employment envy equal error eternal ethics event evidence excuse expense failure fame famous
fashion fatal faith favour fiction formal fortune freedom friendship frequent future gentle glory
gossip grammar gratitude grief guilt habit harmony haste heritage honest honour hope humour hunger
ideal idea income industry infinite injury inquiry insult interest irony jealous journey joy justice
knowledge lazy legal leisure liberty logic logical loss loud loyalty luck majority memory mercy
method midnight minute mistake moral morning motive mystery nervous neutral noise nonsense novel
oath obvious odour offer opinion option origin pain panic patience pause payment peace permission
phrase pity poem polite poverty praise precise pride privacy profit promise proof proverb purpose
quality quantity question quiet random rare reason regret remedy rent reply rhythm riddle right risk
rumour salary science secret sentence shame silence silent similar sincere slogan song sorrow speech
statistic story strategy success sudden suffering surprise taste tax theory thought tradition
translation trouble trust truth tuesday urgent vague value verb victory violence virtue vote vowel
wage warm weekend welfare wisdom witty yearly yesterday zeal
""".split()  # noqa: SIM905 (as a list it would take pages)
)
